"""The log, the curve, the pace and the line a user watches."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from scigen.cli.live import describe
from scigen.errors import InputError, ResourceError
from scigen.run.log import append_row, draw_curve, fold_log, read_log, smooth
from scigen.run.pace import Pace
from tests.run.tiny import line_trainer, trained


def rows(folder: Path, *steps: int) -> None:
    for step in steps:
        append_row(folder, {"step": step, "minutes": step / 60, "lr": 1e-3, "pos": 1 / step, "atom": float("nan")})


def test_every_row_is_strict_json(tmp_path: Path) -> None:
    rows(tmp_path, 1, 2)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    parsed = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [r["step"] for r in parsed] == [1, 2] and parsed[0]["atom"] is None


def test_a_cut_line_is_passed_over_and_resuming_forgets_what_comes_after(tmp_path: Path) -> None:
    rows(tmp_path, 1, 2, 3, 4)
    with (tmp_path / "log.jsonl").open("a") as handle:
        handle.write('{"step": 5, "minu')
    fold_log(tmp_path, 2)
    rows(tmp_path, 3)
    assert [r["step"] for r in read_log(tmp_path)] == [1, 2, 3]
    fold_log(tmp_path / "nowhere", 2)


def test_the_curve_is_an_image(tmp_path: Path) -> None:
    rows(tmp_path, *range(1, 30))
    path = draw_curve(tmp_path)
    assert path is not None
    with Image.open(path) as image:
        assert image.format == "PNG" and min(image.size) > 300


def test_no_log_no_curve(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no log.jsonl"):
        draw_curve(tmp_path)
    rows(tmp_path, 1)
    assert draw_curve(tmp_path) is None


def test_an_unwritable_log_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(ResourceError, match="log.jsonl"):
        append_row(tmp_path, {"step": 1})


def test_smoothing_is_a_running_mean() -> None:
    assert smooth((1.0, 3.0, 5.0, 7.0), 2) == [1.0, 2.0, 4.0, 6.0]


def test_pace_leaves_out_the_steps_that_compiled() -> None:
    pace = Pace()
    assert pace.rate == 0 and pace.step_seconds == 0
    pace.add(90.0, 64)  # compiles
    for _ in range(10):
        pace.add(0.25, 64)
    pace.add(30.0, 64)  # another shape
    assert pace.rate == pytest.approx(256) and pace.step_seconds == pytest.approx(0.25)
    for _ in range(100):
        pace.add(0.5, 64)
    assert pace.rate == pytest.approx(128), "the window has moved on"


def test_time_left_is_that_of_the_budget_that_ends_first() -> None:
    pace = Pace()
    pace.add(2.0, 8)
    assert pace.seconds_left(10, 30.0, steps=100, minutes=None) == 180
    assert pace.seconds_left(10, 30.0, steps=None, minutes=2) == 90
    assert pace.seconds_left(10, 30.0, steps=100, minutes=2) == 90
    assert pace.seconds_left(200, 30.0, steps=100, minutes=None) == 0


def test_what_a_user_watches() -> None:
    trainer = line_trainer(minutes=100)
    s = trainer.status
    s.step, s.seconds, s.skipped, s.terms = 12345, 600.0, 2, {"pos": 0.4567, "atom": 1.0}
    for _ in range(5):
        trainer.pace.add(0.5, 256)
    trainer.config = trainer.config.model_copy(update={"steps": None})
    line = describe(trainer, datetime(2030, 1, 1, 22, 45))
    assert line == "step 12,345  512/s  1 h 30 min left, ends 00:15\npos 0.457  atom 1.000  2 skipped"
    assert max(map(len, line.splitlines())) < 55, "it stands beside a bar in 80 columns"


def test_a_run_logs_the_mean_of_each_term_between_rows(tmp_path: Path) -> None:
    trained(tmp_path, "train.steps=2")
    row = read_log(tmp_path)[-1]
    assert row["step"] == 2 and row["samples"] == 16 and row["workers"] == 1 and row["skipped"] == 0
    assert {"pos", "atom", "bond", "length", "rate", "lr", "norm", "minutes"} <= row.keys()
