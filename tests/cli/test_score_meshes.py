"""`scigen score meshes` as a user runs it: sets, pairs, training rows, thresholds, reports, files not in order."""

from __future__ import annotations

import csv
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.io.clouds import write_cloud
from scigen.io.meshes import write_mesh
from scigen.io.shape import Cloud, Mesh
from tests.domains.shapes.bodies import ball, box, joined

FAST = ("--points", 128, "--emd-points", 16, "--norm", "unit")


def score(*args):
    return run(["score", "meshes", *map(str, args)])


def meshes(folder, bodies):
    folder.mkdir(exist_ok=True)
    for name, mesh in bodies.items():
        write_mesh(folder / name, mesh)
    return folder


def boxes(rng, names):
    return {name: box(rng.uniform(0.2, 0.5, 3), rng.uniform(-9, 9, 3)) for name in names}


@pytest.fixture
def sets(tmp_path, numpy_rng):
    """Six boxes of one law on each side, in three formats."""
    gen = meshes(tmp_path / "gen", boxes(numpy_rng, [f"g{k}.{s}" for k, s in enumerate(("glb", "obj", "stl") * 2)]))
    return gen, meshes(tmp_path / "ref", boxes(numpy_rng, [f"r{k}.ply" for k in range(6)]))


def report(capsys):
    found = json.loads(capsys.readouterr().out)
    return found, {row["name"]: row for row in found["scores"]}


def test_sets_of_one_law_with_their_training_row(sets, tmp_path, numpy_rng, capsys):
    gen, ref = sets
    train = meshes(tmp_path / "train", boxes(numpy_rng, [f"t{k}.ply" for k in range(8)]))
    assert score(gen, "--reference", ref, "--train", train, *FAST, "--json") == 0
    found, rows = report(capsys)
    assert found["mode"] == "sets" and found["normalisation"] == "unit" and found["training"]["meshes"] == 8
    assert found["reference"]["ids"] == [f"r{k}" for k in range(6)] and len(found["reference"]["sha256"]) == 16
    for name in ("valid", "watertight", "oriented", "manifold", "solid", "outward", "not_self_intersecting"):
        assert rows[name]["value"] == rows[name]["data"] == rows[name]["baseline"] == 1 and rows[name]["n"] == 6
    assert rows["components"]["value"] == 1 and rows["genus"]["value"] == 0 and rows["faces"]["value"] == 12
    assert 0 < rows["volume"]["value"] < 0.2 < rows["area"]["value"] < 2.1
    low, high = rows["1nna_cd"]["interval"]
    assert low <= 0.5 <= high and 0 < rows["1nna_cd"]["baseline"] <= 1 and rows["1nna_cd"]["data"] is not None
    assert 0 < rows["mmd_cd"]["floor"] < rows["mmd_cd"]["value"] < 1 and rows["1nna_emd@16"]["value"] is not None
    assert "spacing_spread" not in rows and [*rows][0] == "readable"


def test_pairs_in_closed_form(tmp_path, capsys):
    """A box, and the same moved by half its side: a third of the union is shared."""
    ref = meshes(tmp_path / "ref", {"cube.ply": box(), "ball.ply": ball(rings=12)})
    gen = meshes(tmp_path / "gen", {"cube_0.glb": box(center=(0.5, 0, 0)), "cube_1.glb": box(), "ball.glb": ball(0.25)})
    args = ("--reference", ref, "--paired", "--points", 512, "--norm", "none", "--tau", 0.05)
    assert score(gen, *args, "--json", "--out", tmp_path / "out") == 0
    _, rows = report(capsys)
    assert rows["iou"]["value"] == pytest.approx(((1 / 3 + 1) / 2 + 1 / 8) / 2, abs=5e-3) and rows["iou"]["n"] == 2
    assert rows["valid"]["n"] == 3 and rows["valid"]["data"] == 1
    table = {row["id"]: row for row in csv.DictReader((tmp_path / "out" / "shapes.csv").open())}
    assert float(table["cube_0"]["iou"]) == pytest.approx(1 / 3, abs=2e-3) and table["cube_0"]["reference"] == "cube"
    assert float(table["cube_1"]["chamfer_l1_over_floor"]) == pytest.approx(1, abs=0.15)
    assert float(table["ball"]["chamfer_l1"]) == pytest.approx(0.25, abs=0.03)  # both ways 0.25, but for the sampling
    assert float(table["cube_1"]["normal_consistency"]) > 0.9 and rows["normal_consistency"]["floor"] > 0.9
    assert 0 < rows["f_score@0.05"]["value"] < rows["f_score@0.05"]["floor"] < 1


def test_retrieval_is_the_nearest_training_mesh(tmp_path, capsys):
    ref = meshes(tmp_path / "ref", {"a.ply": box((0.5, 0.1, 0.3))})
    gen = meshes(tmp_path / "gen", {"a.ply": ball()})
    train = meshes(tmp_path / "train", {"far.ply": ball(3.0), "near.ply": box((5, 1, 3), (90, 0, 0))})
    args = ("--reference", ref, "--train", train, "--paired", "--points", 512, "--norm", "unit", "--json")
    assert score(gen, *args) == 0
    _, rows = report(capsys)
    assert rows["iou"]["baseline"] > 0.8 > rows["iou"]["value"]
    assert rows["chamfer_l1_over_floor"]["baseline"] == pytest.approx(1, abs=0.3) and rows["readable"]["value"] == 1
    assert rows["chamfer_l1"]["baseline"] < rows["chamfer_l1"]["value"]


def test_faults_are_counted_and_gate(tmp_path, capsys):
    faults = {
        "hole.ply": Mesh(box().vertices, box().faces[1:]),
        "through.ply": joined(box(), box(center=(0.3, 0.4, 0.2))),
        "inside_out.ply": Mesh(box().vertices, box().faces[:, ::-1]),
        "good.ply": box(),
    }
    gen, ref = meshes(tmp_path / "gen", faults), meshes(tmp_path / "ref", {f"r{k}.ply": box() for k in range(3)})
    args = (gen, "--reference", ref, *FAST[:2], "--emd-points", 0, "--norm", "unit")
    assert score(*args, "--json") == 0
    _, rows = report(capsys)
    shares = {name: rows[name]["value"] for name in ("valid", "watertight", "solid", "outward", "one_piece")}
    assert shares == {"valid": 0.5, "watertight": 0.75, "solid": 0.75, "outward": 2 / 3, "one_piece": 0.75}
    assert rows["intersecting_faces"]["value"] == pytest.approx(0.5 / 4) and rows["volume"]["n"] == 3
    junit = tmp_path / "junit.xml"
    assert score(*args, "--min", "valid=95%", "--max", "components=2", "--quiet", "--junit", junit) == 1
    assert "MISSED: valid is 0.5, the bound is 0.95" in capsys.readouterr().err
    suite = ElementTree.parse(junit).getroot()[0]
    assert suite.attrib["failures"] == "1" and suite.attrib["name"] == "scigen score meshes"


def test_open_pairs_have_no_volume_in_common(tmp_path, capsys):
    ref = meshes(tmp_path / "ref", {"a.ply": box()})
    gen = meshes(tmp_path / "gen", {"a.ply": Mesh(box().vertices, box().faces[1:])})
    args = (gen, "--reference", ref, "--paired", *FAST)
    assert score(*args, "--json") == 0
    rows = report(capsys)[1]
    assert rows["iou"]["value"] is None and "closed" in rows["iou"]["note"] and rows["genus"]["value"] is None
    assert score(*args, "--min", "iou=0.1", "--quiet") == 1
    assert "MISSED: iou has no value" in capsys.readouterr().err


def test_broken_files_are_rows_and_the_exit_code_says_so(sets, tmp_path, capsys):
    gen, ref = sets
    (gen / "broken.ply").write_bytes(b"ply\nnonsense")
    write_cloud(gen / "cloud.ply", Cloud(np.eye(3)))
    write_mesh(gen / "g0.ply", box())
    assert score(gen, "--reference", ref, *FAST, "--json", "--out", tmp_path / "out") == 4
    found, rows = report(capsys)
    reasons = {error["record"]: error["reason"] for error in found["errors"]}
    assert set(reasons) == {"broken", "cloud", "g0"}
    assert "no faces" in reasons["cloud"] and reasons["g0"] == "another file has the same name"
    assert rows["readable"]["value"] == pytest.approx(5 / 9) and rows["valid"]["n"] == 5
    assert len((tmp_path / "out" / "errors.jsonl").read_text().splitlines()) == 4


def test_a_run_repeats(sets, capsys):
    documents = []
    for seed in (0, 0, 1):
        assert score(sets[0], "--reference", sets[1], *FAST, "--seed", seed, "--json") == 0
        documents.append(report(capsys)[0])
    assert documents[0] == documents[1] != documents[2]


def test_the_table_names_its_terms(sets, capsys):
    assert score(sets[0], "--reference", sets[1], *FAST) == 0
    out = capsys.readouterr().out
    for words in ("reference", "sampling floor", "watertight", "6 generated against 6", "normalisation unit", "seed 0"):
        assert words in out


def test_usage(sets, tmp_path, capsys):
    gen, ref = sets
    assert score(gen, "--reference", ref) == 2  # no --norm
    assert score(gen, "--reference", ref, *FAST, "--min", "watertigth=1") == 2
    assert "did you mean 'watertight'?" in capsys.readouterr().err
    assert score(gen, "--reference", ref, "--norm", "unit", "--points", 16) == 2
    assert "`--emd-points 512` is more than `--points 16`" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert score(tmp_path / "empty", "--reference", ref, *FAST) == 3
    assert "holds no mesh file" in capsys.readouterr().err
    only = meshes(tmp_path / "other", {"zzz.ply": box()})
    assert score(only, "--reference", ref, "--paired", *FAST) == 3
    assert "share no name" in capsys.readouterr().err
    write_cloud(only / "zzz.ply", Cloud(np.eye(3)))
    assert score(only, "--reference", ref, *FAST) == 3
    assert "none of 1 files is a usable mesh" in capsys.readouterr().err
