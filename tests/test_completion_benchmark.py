"""The benchmark of completions: what knows the truth scores the floor, and the whole table runs without weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import completion
from scigen.domains.shapes.corpora.corpus import Corpus
from scigen.domains.shapes.pack import PackedShapes, save_shapes, shapes_path
from scigen.domains.shapes.packing import pack_shapes
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.surface import sample_surface
from scigen.io.shape import Cloud
from tests.cli import tiny_points as tiny
from tests.domains.points.solids import packed


@pytest.fixture(scope="module")
def generated() -> PackedShapes:
    """Two families; the hash of the id gives test shapes to both."""
    families = [family for family in FAMILIES if family.name in ("bottle", "bracket")]
    made = ProceduralSet(24, families=families)
    corpus = Corpus(made.name, made.licence, made.categories, made.ids, made.category, made.split, made.mesh, False)
    rows = np.flatnonzero(made.split == 2)
    return pack_shapes(corpus.subset(np.sort(np.concatenate([rows, [0, 24]]))), 256).shapes


def test_another_sampling_of_the_truth_scores_the_floor_and_the_scan_does_not(generated: PackedShapes) -> None:
    rows = completion.chosen(generated, 2, 0)
    assert [generated.categories[c] for c in generated.category[rows]] == ["bottle", "bracket"]
    assert (generated.split[rows] == 2).all()
    cases = [completion.case_of(generated, 0, False, k) for k in rows]
    assert all(len(c.truth.points) == completion.TRUTH and len(c.partial) == completion.SEEN for c in cases)
    assert all(c.partial.normals is None for c in cases)

    def oracle(case: completion.Case) -> list[Cloud]:
        k = generated.ids.tolist().index(case.id)
        surface, rng = completion.surface_of(generated, k), np.random.default_rng(5)
        return [sample_surface(surface, completion.TRUTH, rng)[0] for _ in range(2)]

    mean, first, best = completion.rows_of("oracle", oracle, cases, several=True)
    (seen,) = completion.rows_of("the scan", lambda case: [case.partial], cases)
    for k in range(2):
        assert mean.values[k]["over_floor"] == pytest.approx(1, abs=0.03)
        assert best.values[k]["chamfer_l1"] == min(mean.values[k]["chamfer_l1"], best.values[k]["chamfer_l1"])
        assert best.values[k]["chamfer_l1"] <= first.values[k]["chamfer_l1"]
        assert mean.values[k]["tmd"] == pytest.approx(2 * mean.values[k]["chamfer_l2"], rel=0.05)
        assert mean.values[k]["seen_l1"] == pytest.approx(1, abs=0.05) and mean.values[k]["missing_l1"] < 1.05
        assert seen.values[k]["seen_l1"] < seen.values[k]["missing_l1"] / 3
        assert "tmd" not in first.values[k] and seen.values[k]["over_floor"] > 2 and seen.values[k]["uhd"] == 0

    lines = list(completion.table([mean, first, best, seen], cases, 0))
    assert len({text.count("|") for text in lines}) == 1 and lines[-1].startswith("| sampling floor |")
    assert "| 2,048 |" in lines[-2] and "| 16,384 |" in lines[-3]
    by_category = list(completion.by_category([mean, seen], cases))
    assert len(by_category) == 4 and by_category[2].startswith("| bottle | 1 | 1.0")


def test_a_seed_decides_the_scans(generated: PackedShapes) -> None:
    one, again, other = (completion.case_of(generated, seed, True, 0) for seed in (0, 0, 1))
    assert np.array_equal(one.partial.points, again.partial.points) and one.partial.normals is not None
    assert not np.array_equal(one.partial.points, other.partial.points)


def test_every_row_runs_on_weights_of_a_few_thousand_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    shapes_path("ellipsoids").parent.mkdir()
    save_shapes(shapes_path("ellipsoids"), packed(4, 900))
    monkeypatch.setattr(completion, "TRUTH", 1000)
    recipe = {"recipe": {"scans": 2, "train": {"seed": 0}}, "data": {"name": ["ellipsoids"]}}
    bridge = tiny.remembering(tmp_path / "weights", **recipe)
    card = {**tiny.of_codec(tiny.codec(tmp_path / "weights")), "start": "noise"}
    noise = tiny.export(tmp_path / "weights" / "noise.safetensors", "points-bridge", tiny.LATENT, **card)
    words = ["--weights", bridge, "--gaussian", noise, "--data", "ellipsoids"]
    words += ["--draws", "2", "--steps", "2", "--fit", "2"]
    monkeypatch.setattr(sys, "argv", ["completion", *map(str, words)])
    completion.main()
    out = capsys.readouterr().out
    assert out.startswith("1 test shapes of `ellipsoids`") and "truth 900 points" in out
    labels = [text.split("|")[1].strip() for text in out.splitlines() if text.startswith("|")]
    assert labels[2:28] == [
        "the scan", "the scan and its mirror image", "retrieval", "where the bridge begins", "deterministic network",
        "diffusion from noise, ODE", "diffusion from noise, SDE, mean of 2", "diffusion from noise, SDE, first ranked",
        "diffusion from noise, SDE, best of 2", "bridge, ODE", "bridge, SDE, mean of 2", "bridge, SDE, first ranked",
        "bridge, SDE, best of 2", "retrieval, fitted", "deterministic network, fitted",
        "diffusion from noise, ODE, fitted", "diffusion from noise, SDE, fitted, mean of 2",
        "diffusion from noise, SDE, fitted, first ranked", "diffusion from noise, SDE, fitted, best of 2",
        "bridge, ODE, fitted", "bridge, SDE, fitted, mean of 2", "bridge, SDE, fitted, first ranked",
        "bridge, SDE, fitted, best of 2", "codec ceiling", "sampling floor", "CD / floor",
    ]  # fmt: skip
    again = ["completion", *map(str, words), "--methods", "the scan"]
    monkeypatch.setattr(sys, "argv", again)
    completion.main()
    assert capsys.readouterr().out.splitlines()[0] == out.splitlines()[0], "the protocol is that of the clouds"
