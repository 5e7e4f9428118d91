"""The benchmark of generated clouds: one law scores 50 %, copies less, the class mean nearly 100 %; every row runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cloud_generation as generation
from scigen.domains.shapes.pack import PackedShapes, save_shapes, shapes_path
from tests.cli import tiny_points as tiny
from tests.domains.points.solids import packed

ARGS = Namespace(points=128, emd=0, seed=0)


@pytest.fixture(scope="module")
def shapes() -> PackedShapes:
    """160 ellipsoids, half of them held out."""
    found = packed(160, 300, seed=1)
    return replace(found, split=np.repeat([0, 1, 2], [80, 40, 40]).astype(np.uint8), categories=("chair",))


def test_the_halves_are_held_out_and_share_nothing(shapes: PackedShapes) -> None:
    rows, other = generation.halves(shapes, "chair", 1000, 300, 0)
    assert len(rows) == len(other) == 40 and not set(rows) & set(other) and min(rows + other) >= 80
    few = replace(shapes, size=np.where(np.arange(160) < 150, 299, 300))
    assert sorted(sum(generation.halves(few, "chair", 1000, 300, 0), [])) == list(range(150, 160))
    with pytest.raises(SystemExit, match="0 held-out shapes of 'chair' with 301 points"):
        generation.halves(shapes, "chair", 10, 301, 0)


def test_scores_know_one_law_copies_and_the_class_mean(shapes: PackedShapes) -> None:
    rows, other = generation.halves(shapes, "chair", 24, 128, 0)
    reference = generation.sampled(shapes, rows, 128, 0, 1)
    rng = np.random.default_rng(0)
    found = {
        "law": generation.scored(generation.sampled(shapes, other, 128, 0, 1), reference, ARGS),
        "copies": generation.scored(generation.sampled(shapes, rows, 128, 0, 2), reference, ARGS),
        "mean": generation.scored(generation.mean_shapes(shapes, np.arange(80), 24, 128, rng), reference, ARGS),
    }
    accuracy = {name: scores["1nna_cd"].value for name, scores in found.items()}
    assert accuracy["copies"] < 0.3 < accuracy["law"] < 0.7 < 0.9 < accuracy["mean"]
    assert found["law"]["clean"].value == 1
    strays = [np.concatenate([cloud, [[3, 0, 0]]]) for cloud in reference]
    assert generation.scored(strays, reference, ARGS)["clean"].value == 0


def test_every_row_runs_on_weights_of_a_few_thousand_parameters(
    shapes: PackedShapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(generation, "EMD", 32)
    monkeypatch.setattr(generation, "KERNELS", ("cd", "emd@32"))
    shapes_path("ellipsoids").parent.mkdir()
    save_shapes(shapes_path("ellipsoids"), shapes)
    words = ["--weights", tiny.prior(tmp_path / "w"), "--raw", tiny.raw(tmp_path / "w"), "--data", "ellipsoids"]
    words += ["--n", 6, "--emd", 4, "--points", 128, "--steps", 2]
    monkeypatch.setattr(sys, "argv", ["cloud_generation", *map(str, words)])
    generation.main()
    out = capsys.readouterr().out
    rows = [text for text in out.splitlines() if text.startswith("| chair |")]
    assert [text.split("|")[2].strip() for text in rows] == [
        "other half", "training shapes", "class mean with noise", "codec ceiling", "prior", "raw points",
    ]  # fmt: skip
    assert len({text.count("|") for text in rows}) == 1 and "1-NNA EMD@32" in out and "weights prior, raw" in out
    monkeypatch.setattr(sys, "argv", ["cloud_generation", *map(str, words), "--rows", "other half"])
    generation.main()
    again = capsys.readouterr().out
    assert rows[0] in again.splitlines() and again.splitlines()[-1] == out.splitlines()[-1], "same references"
