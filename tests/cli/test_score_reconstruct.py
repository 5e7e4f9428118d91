"""`scigen score reconstruct` as a user runs it: closed forms, ranks, frames, views, thresholds, files not in order."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.domains.image3d.folder import write_views
from scigen.domains.image3d.render import render
from scigen.domains.image3d.rig import CUBE, WONDER3D
from scigen.domains.shapes.unit import unit_shape
from scigen.io.meshes import write_mesh
from scigen.io.shape import Mesh
from tests.domains.shapes.bodies import ball, box

LONG, CUBOID = box((4.0, 2.0, 2.0), (7, -3, 5)), box((1.0, 1.0, 1.0))


def score(*args: object) -> int:
    return run(["score", "reconstruct", *map(str, args), "--points", "2000"])


def unit(mesh: Mesh) -> Mesh:
    return unit_shape(mesh)[0]


def squeezed(mesh: Mesh, share: float) -> Mesh:
    """The mesh of the unit frame, thinner along x."""
    return Mesh(mesh.vertices * np.array([share, 1, 1], np.float32), mesh.faces)


def opened(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces[1:])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for folder in ("true", "found"):
        (tmp_path / folder).mkdir()
    write_mesh(tmp_path / "true" / "long.glb", LONG)
    write_mesh(tmp_path / "true" / "cube_9.obj", CUBOID)
    write_mesh(tmp_path / "found" / "long_1.glb", squeezed(unit(LONG), 0.5))
    write_mesh(tmp_path / "found" / "long_2.stl", squeezed(unit(LONG), 0.8))
    write_mesh(tmp_path / "found" / "cube_9.ply", unit(CUBOID))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> tuple[dict, dict]:
    document = json.loads(capsys.readouterr().out)
    return document, {row["name"]: row for row in document["scores"]}


def test_closed_forms(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(place / "found", "--reference", place / "true", "--json") == 0
    document, rows = told(capsys)
    assert document["generated"]["meshes"] == 3 and document["reference"]["ids"] == ["cube_9", "long"]
    assert rows["iou"]["value"] == pytest.approx((1 + (0.5 + 0.8) / 2) / 2, abs=2e-3)
    assert rows["iou_first"]["value"] == pytest.approx((1 + 0.5) / 2, abs=2e-3)
    assert rows["iou_best"]["value"] == pytest.approx((1 + 0.8) / 2, abs=2e-3)
    assert rows["chamfer_l1_best"]["value"] < rows["chamfer_l1"]["value"] < rows["chamfer_l1_first"]["value"]
    assert 0 < rows["chamfer_l1"]["floor"] < rows["chamfer_l1_best"]["value"]
    assert rows["closed"]["value"] == rows["readable"]["value"] == 1 and rows["iou"]["n"] == 2


def test_the_truth_scores_its_floor_in_either_frame(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true = place / "true" / "long.glb"
    assert score(true, "--reference", true, "--frame", "reference", "--json") == 0
    rows = told(capsys)[1]
    assert rows["iou"]["value"] > 0.999 and rows["normal_consistency"]["value"] > 0.95
    assert rows["chamfer_l1"]["value"] == pytest.approx(rows["chamfer_l1"]["floor"], rel=0.1)
    assert score(true, "--reference", true, "--json") == 0, "in its file's frame it is nowhere near"
    assert told(capsys)[1]["iou"]["value"] < 0.2


def test_one_reference_for_all_and_views(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder = place / "run"
    run_folder.mkdir()
    for rank, share in ((1, 1.0), (2, 0.5)):
        mesh = squeezed(unit(LONG), share)
        write_mesh(run_folder / f"mesh_{rank}.glb", mesh)
        write_views(run_folder / f"views_{rank}.npz", render(mesh, CUBE, 24))
    words = (run_folder, "--reference", place / "true" / "long.glb", "--views", run_folder)
    assert score(*words, "--json") == 0
    rows = told(capsys)[1]
    assert rows["iou_first"]["value"] > 0.999 and rows["iou"]["value"] == pytest.approx(0.75, abs=2e-3)
    assert rows["mask_iou"]["value"] == pytest.approx(1 - 4 / 6 * 0.5 / 2, abs=0.02), "four of six sides are halved"
    assert rows["normal_angle"]["value"] < 0.1 and 0 < rows["depth_mae"]["value"] < 0.1
    assert score(*words, "--rig", "wonder3d") == 3
    assert "those of the rig" in capsys.readouterr().err
    write_views(run_folder / "views_1.npz", render(unit(LONG), WONDER3D, 24))
    assert score(*words, "--json") == 4
    document, rows = told(capsys)
    assert "those of the rig" in document["errors"][0]["reason"] and rows["mask_iou"]["n"] == 1


def test_open_meshes_and_orphans_are_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mesh(place / "found" / "cube_9.ply", opened(unit(CUBOID)))
    write_mesh(place / "found" / "nobody_1.glb", ball(0.4))
    (place / "found" / "long_3.glb").write_bytes(b"not a mesh")
    assert score(place / "found", "--reference", place / "true", "--json") == 4
    document, rows = told(capsys)
    assert {error["record"] for error in document["errors"]} == {"nobody_1", "long_3"}
    assert rows["iou"]["value"] == pytest.approx((0 + 0.65) / 2, abs=2e-3) and rows["closed"]["value"] == 0.5
    write_mesh(place / "true" / "cube_9.obj", opened(CUBOID))
    assert score(place / "found", "--reference", place / "true", "--json") == 4
    assert told(capsys)[1]["iou"]["n"] == 1, "without a true inside there is nothing to share"


def test_thresholds_and_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (place / "found", "--reference", place / "true")
    out, cases = place / "out", place / "cases.xml"
    bounds = ("--min", "iou=80%", "--min", "iou_best=0.89", "--max", "chamfer_l1=0.05")
    assert score(*words, *bounds, "--out", out, "--junit", cases, "--tau", 0.05) == 0
    shown = capsys.readouterr()
    assert "f_score@0.05" in shown.out and shown.err.count("passed") == 3
    assert {p.name for p in out.iterdir()} == {"scores.json", "shapes.csv", "errors.jsonl"}
    assert (out / "shapes.csv").read_text().count("\n") == 4
    assert score(*words, "--min", "iou=0.95", "--junit", cases, "--quiet") == 1
    assert ElementTree.parse(cases).getroot().get("failures") == "1"
    assert "MISSED: iou" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "words", "culprit"),
    [
        (2, "{dir}/found --reference {dir}/true --min beauty=1", "beauty"),
        (2, "{dir}/found --reference {dir}/true --min mask_iou=0.5", "mask_iou"),
        (2, "{dir}/found --reference {dir}/true --frame mine", "--frame mine"),
        (2, "{dir}/found --reference {dir}/true --rig wonder3d", "--views"),
        (3, "{dir}/none.glb --reference {dir}/true", "none.glb"),
        (3, "{dir}/found --reference {dir}/empty", "empty"),
        (3, "{dir}/true/long.glb --reference {dir}/found", "share no name"),
        (3, "{dir}/found --reference {dir}/true --views {dir}/found", "holds no views"),
    ],
)
def test_one_sentence_each(
    code: int, words: str, culprit: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "empty").mkdir()
    assert score(*words.format(dir=place).split()) == code
    out, err = capsys.readouterr()
    assert err.startswith("scigen: ") and err.count("\n") == 1 and out == "" and culprit in err
