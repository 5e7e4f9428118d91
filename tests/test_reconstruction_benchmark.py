"""The benchmark of reconstructions: true views come near the truth, and every row runs on a network of few weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import reconstruction, view_costs
from scigen.domains.image3d.carve import Carving
from scigen.domains.image3d.reconstruct import Reconstruct
from scigen.domains.image3d.rendering import render_set
from scigen.domains.image3d.viewset import ViewSet, save_views, views_path
from scigen.domains.shapes.corpora.corpus import Corpus
from scigen.domains.shapes.pack import save_shapes, shapes_path
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from tests.cli import tiny_points as tiny
from tests.domains.points.solids import packed

SHAPE = {"pixels": 24, "patch": 8, "width": 16, "layers": 1, "heads": 2}
COARSE = Reconstruct(Carving(32))


@pytest.fixture(scope="module")
def views() -> ViewSet:
    """Two families, two training shapes and one test shape of each."""
    made = ProceduralSet(24, families=[family for family in FAMILIES if family.name in ("bottle", "bracket")])
    corpus = Corpus(made.name, made.licence, made.categories, made.ids, made.category, made.split, made.mesh, False)
    of = [np.flatnonzero((made.split == s) & (made.category == c))[:n] for c in (0, 1) for s, n in ((0, 2), (2, 1))]
    return render_set(corpus.subset(np.concatenate(of)), 24, 2).views


@pytest.fixture(scope="module")
def cases(views: ViewSet) -> list[reconstruction.Case]:
    return [reconstruction.case_of(views, 0, k) for k in reconstruction.chosen(views, 9, 0)]


def test_cases_are_the_test_shapes_in_turn(views: ViewSet, cases: list[reconstruction.Case]) -> None:
    assert [case.category for case in cases] == ["bottle", "bracket"]
    assert {case.id for case in cases} == set(views.ids[views.where("test")])
    again, other = (reconstruction.case_of(views, seed, k) for seed, k in ((0, 2), (3, 2)))
    assert np.array_equal(again.subject.rgb, cases[0].subject.rgb) and again.id == other.id == cases[0].id


def test_rows_are_the_mean_the_selected_and_the_best(
    cases: list[reconstruction.Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "POINTS", 1000)

    def drawn(case: reconstruction.Case) -> list:
        empty = replace(case.views, mask=np.zeros_like(case.views.mask))
        return [cases[0].views, case.views, empty]

    mean, chosen, best = reconstruction.rows_of("draws", drawn, cases, COARSE)
    (oracle,) = reconstruction.rows_of("retrieval", lambda case: [case.views], cases, COARSE)
    for k in range(2):
        one = oracle.values[k]
        assert one["mask_iou"] == 1 and one["normal_angle"] < 1e-3 and one["depth_mae"] == 0 and one["iou"] > 0.6
        assert best.values[k]["iou"] == one["iou"] and chosen.values[k]["agreement"] >= one["agreement"]
    wrong = mean.values[1]["iou"] * 3 - oracle.values[1]["iou"]
    assert 0 <= wrong < 0.5, "another shape's views and none at all"
    assert mean.values[0]["iou"] == pytest.approx(2 / 3 * oracle.values[0]["iou"])
    lines = list(reconstruction.table([oracle, mean], cases, 0))
    assert len({text.count("|") for text in lines}) == 1 and lines[-1].startswith("| sampling floor |")
    gain = float(lines[3].split("|")[9].split("(")[0])
    assert gain == pytest.approx(np.mean([a["iou"] - b["iou"] for a, b in zip(mean.values, oracle.values)]), abs=1e-3)
    assert list(reconstruction.by_category([oracle], cases))[2].startswith("| bottle | 1 | ")


def test_every_row_runs_on_a_network_of_a_few_thousand_weights(
    views: ViewSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    views_path("x").parent.mkdir()
    save_views(views_path("procedural"), views)
    weights = tiny.export(tmp_path / "w" / "tiny.safetensors", "image-views", SHAPE, scale={"view": 0.5})
    codec = tiny.of_codec(tiny.codec(tmp_path / "w"))["codec"]
    latents = tiny.export(
        tmp_path / "w" / "latents.safetensors", "image-latents",
        SHAPE | {"features": tiny.CODEC["feature"], "looks": 1}, scale={"pos": 0.3, "feat": 1.0}, codec=codec,
    )  # fmt: skip
    words = ["--weights", str(weights), "--latents", str(latents), "--draws", "2", "--steps", "2", "--grid", "32"]
    words += ["--memory", "procedural"]
    monkeypatch.setattr(sys, "argv", ["reconstruction", *words])
    monkeypatch.setattr(reconstruction, "POINTS", 500)
    reconstruction.main()
    out = capsys.readouterr().out
    assert out.startswith("2 test shapes of `procedural`") and "search 4 shapes" in out
    labels = [text.split("|")[1].strip() for text in out.splitlines() if text.startswith("|")]
    assert labels[2:-4] == [
        "mean shape", "class mean (class given)", "retrieval", "retrieval, shipped", "mean of the nearest 2",
        "regression head", "diffusion, mean of 2", "diffusion, selected", "diffusion, best of 2",
        "latent points, mean of 2", "latent points, selected", "latent points, best of 2", "oracle views",
        "sampling floor",
    ]  # fmt: skip


def test_votes_are_told_apart_on_the_split_asked_for(
    views: ViewSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_views(tmp_path / "x.npz", views)
    words = ["--data", str(tmp_path / "x.npz"), "--train", str(tmp_path / "x.npz"), "--split", "train", "--grid", "32"]
    monkeypatch.setattr(sys, "argv", ["reconstruction", *words, "--rows", "retrieval", "--votes", "1", "3"])
    monkeypatch.setattr(reconstruction, "POINTS", 500)
    reconstruction.main()
    out = capsys.readouterr().out
    assert out.startswith("4 train shapes of `procedural`") and "votes 1 3;" in out
    one, three = (text.split("|") for text in out.splitlines()[4:6])
    assert one[1].strip() == "retrieval, votes 1" and three[1].strip() == "retrieval, votes 3"
    assert float(one[2].split("(")[0]) > 0.6 > float(three[2].split("(")[0]), "true views carve alone"
    assert not one[9].strip() and float(three[9].split("(")[0]) < 0


def test_points_are_held_against_the_surface_they_were_rendered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    shapes = packed(2, 2000)
    shapes_path("x").parent.mkdir()
    save_shapes(shapes_path(shapes.name), shapes)
    made = render_set(shapes, 24, 1).views
    (row,) = reconstruction.rows_of("oracle", lambda case: [case.views], [reconstruction.case_of(made, 0, 0)], COARSE)
    assert row.values[0]["iou"] > 0.85


def test_costs_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tiny.export(tmp_path / "w" / "tiny.safetensors", "image-views", SHAPE | {"near": 0}, scale={"view": 0.5})
    words = ["--weights", str(weights), "--pixels", "16", "--families", "1", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["view_costs", *words])
    monkeypatch.setattr(view_costs, "STEPS", 2)
    view_costs.main()
    rows = [text for text in capsys.readouterr().out.splitlines() if text.startswith("|")]
    assert rows[2].startswith("| Embree |") or rows[2].startswith("| z-buffer"), "the fastest that is here comes first"
    assert sum(text.startswith(("| carve", "| views by")) for text in rows) == 4
