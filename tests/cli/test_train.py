"""`scigen train` and `scigen check`: from a line to weights that sample, and every way to ask for the wrong thing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scigen.cli.app import run
from scigen.domains.molecules.data import fixture_path
from scigen.run.config import load_config
from scigen.run.schema import MoleculeConfig
from scigen.run.weights import read
from tests.run.tiny import OVERRIDES

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--data", str(fixture_path()), *(word for item in OVERRIDES for word in ("-s", item))]


def train(out: Path, *options: object) -> int:
    return run(["train", "molecules/qm9", *TINY, "--out", str(out), *map(str, options)])


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("scigen: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_a_run_ends_with_the_command_that_samples_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "-s", "train.steps=2") == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 steps, 16 samples in ") and err == "", "progress is silent when stderr is no terminal"
    assert f"scigen sample molecules --weights {tmp_path / 'weights.safetensors'}" in out
    read(str(tmp_path / "weights.safetensors"))
    assert train(tmp_path, "-s", "train.steps=3", "--resume", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert json.loads((tmp_path / "weights.json").read_text())["budget"]["steps"] == 3


def test_minutes_go_before_the_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--minutes", "0.0001", "-s", "train.steps=1000") == 0
    card = json.loads((tmp_path / "weights.json").read_text())
    assert card["recipe"]["train"]["minutes"] == 0.0001 and card["budget"]["steps"] < 1000
    assert "budget spent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("", 2, "no budget; give --minutes"),
        ("--minutes 0", 2, "train.minutes: input should be greater than 0, got 0"),
        ("--minutes nan", 2, "train.minutes"),
        ("--minutes soon", 2, "'soon'"),
        ("-s train.lr", 2, "must read key=value"),
        ("-s train.learning_rate=1", 2, "unknown key 'train.learning_rate'"),
        ("-s train.stepz=1", 2, "did you mean 'steps'?"),
        ("-s train.steps=1 --device tpu", 2, "choose auto, cpu or cuda"),
        ("-s train.steps=1 -s train.batch=1000", 3, "271 molecules do not fill one batch of 1000"),
        ("-s train.steps=1 --from nothing", 3, "No weights 'nothing'"),
        ("-s train.steps=1 --from molecules-qm9", 3, "set `-s network.width="),
        ("-s train.steps=1 --data missing.npz", 3, "No molecule set at 'missing.npz'"),
        ("-s train.steps=1 --data README.md", 3, "'README.md' is not a molecule set"),
        ("-s train.steps=1 --out README.md", 6, "is a file, and a folder is needed"),
        ("-s train.steps=1 --out /proc/nowhere", 6, "/proc/nowhere"),
    ],
)
def test_wrong_requests(
    options: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(ROOT)
    assert train(tmp_path / "out", *options.split()) == code
    assert words in sentence(capsys)


def test_a_missing_data_set_names_the_command_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "cache"))
    assert run(["train", "molecules/qm9", "--minutes", "1", "--out", str(tmp_path / "out")]) == 3
    assert "build it with `scigen data prepare qm9`" in sentence(capsys)


def test_a_second_run_in_the_same_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "-s", "train.steps=1", "--quiet") == 0
    assert train(tmp_path, "-s", "train.steps=1") == 3
    assert "already holds a run; add --resume" in sentence(capsys)
    assert train(tmp_path, "-s", "train.steps=1", "-s", "train.lr=0.5", "--resume") == 3
    assert "started with train.lr=0.0008, not 0.5" in sentence(capsys)
    (tmp_path / "step-00000001.safetensors").write_bytes(b"not a checkpoint")
    assert train(tmp_path, "-s", "train.steps=1", "--resume") == 3
    assert "can be read; start again in another folder" in sentence(capsys)


def test_check_prints_a_config_that_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "molecules/qm9", "-s", "train.lr=3e-4"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "full.yaml").write_text(text)
    assert load_config(str(tmp_path / "full.yaml")) == load_config("molecules/qm9", ["train.lr=3e-4"])
    assert yaml.safe_load(text).keys() == MoleculeConfig.model_fields.keys()


def test_check_reports_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("domain: molecules\ndata: qm9\nprocess: vpp\ntrain: {batch: 0, lrr: 1}\n")
    assert run(["check", str(tmp_path / "a.yaml")]) == 2
    err = sentence(capsys)
    assert "'vpp'" in err and "got 0" in err and "did you mean 'lr'?" in err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on(tmp_path: Path, number: int, code: int) -> None:
    line = [sys.executable, "-m", "scigen", "train", "molecules/qm9", *TINY, "--out", str(tmp_path)]
    more = ["-s", "train.steps=1000000", "-s", "train.checkpoint_minutes=0.001"]
    child = subprocess.Popen(
        [*line, *more], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while not list(tmp_path.glob("step-*.safetensors")):
        assert child.poll() is None
    child.send_signal(number)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (code, "") and "stopped by a signal, continue with --resume" in out
    steps = int(out.split()[0].replace(",", ""))
    assert (tmp_path / f"step-{steps:08d}.safetensors").is_file() and not list(tmp_path.glob(".*.tmp"))
    assert train(tmp_path, "-s", f"train.steps={steps + 2}", "-s", "train.checkpoint_minutes=1", "--resume") == 0
