"""`scigen sample molecules --refine`: scores before and after, and what it excludes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scigen.cli.app import run
from scigen.io.molecules import write_sdf
from scigen.metrics.superpose import rmsd
from scigen.run import weights as store
from tests.cli.test_refine import graph, positions, read, untrained_file
from tests.cli.test_sample import Fake, exported, sentence
from tests.domains.molecules.small import Near
from tests.io.seeds import embedded


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_file(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigen.run.refine.Deadline", Near)


@pytest.mark.usefixtures("near")
def test_samples_are_refined_and_the_scores_stand_side_by_side(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = store.shipped()
    monkeypatch.setattr(store, "shipped", lambda: {**shipped, "molecules-refine": weights})
    monkeypatch.setattr("scigen.run.sample.draw_molecules", Fake(broken=3))
    sampler = exported(tmp_path / "sampler.safetensors")
    line = ["sample", "molecules", "--weights", str(sampler), "--n", "6"]
    assert run([*line, "--out", str(tmp_path / "plain"), "--quiet"]) == 0
    assert run([*line, "--out", str(tmp_path / "refined"), "--refine"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "4 of 4 whole valid ones refined" in out and "as drawn" in out
    plain, after = (json.loads((tmp_path / run_ / "scores.json").read_text()) for run_ in ("plain", "refined"))
    assert after["as_drawn"] == plain["scores"] and after["refined"] == {"molecules": 4, "failed": []}
    card = json.loads((tmp_path / "refined/run.json").read_text())
    assert card["refined_by"]["file"] == weights.name and card["config"]["refine"] is True
    values = [{s["name"]: s["value"] for s in scores} for scores in (after["as_drawn"], after["scores"])]
    assert values[0]["validity"] == values[1]["validity"] and values[0]["bond_w1"] != values[1]["bond_w1"]
    before, moved = read(tmp_path / "plain/molecules.sdf"), read(tmp_path / "refined/molecules.sdf")
    for k, (x, y) in enumerate(zip(before, moved, strict=True)):
        assert graph(x) == graph(y)
        assert (rmsd(positions(x), positions(y)) > 0.01) == (k % 3 > 0) == y.HasProp("scigen_displacement")


def test_refining_and_keeping_a_fragment_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fragment = tmp_path / "in.sdf"
    write_sdf(fragment, [embedded("FC1CC1")])
    assert run(["sample", "molecules", "--refine", "--keep", str(fragment), "--out", str(tmp_path / "out")]) == 2
    assert "use one of the two" in sentence(capsys)


def test_without_the_weights_nothing_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "shipped", dict)
    sampler = exported(tmp_path / "sampler.safetensors")
    assert run(["sample", "molecules", "--weights", str(sampler), "--refine", "--out", str(tmp_path / "out")]) == 3
    assert "No weights 'molecules-refine'" in sentence(capsys) and not (tmp_path / "out").exists()
