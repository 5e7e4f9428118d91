"""`scigen score points` as a user runs it: sets, completions, thresholds, reports, and files that are not in order."""

from __future__ import annotations

import csv
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.io.clouds import write_cloud
from scigen.io.meshes import write_mesh
from scigen.io.npz import write_npz
from scigen.io.shape import Cloud, Mesh

FAST = ("--points", 128, "--emd-points", 32)


def score(*args):
    return run(["score", "points", *map(str, args)])


def ellipsoid(rng, axes, n=128):
    x = rng.standard_normal((n, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True) * axes).astype(np.float32)


def many(rng, m=8, low=0.3):
    return np.stack([ellipsoid(rng, rng.uniform(low, 1, 3)) for _ in range(m)])


def ply(folder, clouds):
    folder.mkdir(exist_ok=True)
    for name, points in clouds.items():
        write_cloud(folder / f"{name}.ply", Cloud(np.asarray(points, np.float32)))
    return folder


@pytest.fixture
def sets(tmp_path, numpy_rng):
    """Eight generated and eight reference clouds of one law, the first as one archive, the second as files."""
    write_npz(tmp_path / "gen.npz", {"points": many(numpy_rng)})
    return tmp_path / "gen.npz", ply(tmp_path / "ref", {f"r{k}": c for k, c in enumerate(many(numpy_rng))})


@pytest.fixture
def pairs(tmp_path, numpy_rng):
    """Three references, two completions each, and the half of the reference's surface that was seen."""
    axes = {name: numpy_rng.uniform(0.5, 1, 3) for name in ("a", "b_1", "c")}
    ref = ply(tmp_path / "ref", {name: ellipsoid(numpy_rng, ax, 300) for name, ax in axes.items()})
    tries = {f"{name}_{k}": ellipsoid(numpy_rng, ax, 200) for name, ax in axes.items() for k in (0, 1)}
    partial = {name: (x := ellipsoid(numpy_rng, ax, 300))[x[:, 0] > 0] for name, ax in axes.items()}
    return ply(tmp_path / "tries", tries), ref, ply(tmp_path / "partial", partial)


def report(capsys):
    found = json.loads(capsys.readouterr().out)
    return found, {row["name"]: row for row in found["scores"]}


def test_sets_of_one_law_and_their_reference_row(sets, capsys):
    gen, ref = sets
    assert score(gen, "--reference", ref, "--norm", "unit", *FAST, "--json") == 0
    found, rows = report(capsys)
    assert found["normalisation"] == "unit" and found["points"] == 128 and found["seed"] == 0
    assert found["emd"] == {"kernel": "exact assignment, mean distance matched", "points": 32}
    assert found["reference"]["ids"] == [f"r{k}" for k in range(8)] and len(found["reference"]["sha256"]) == 16
    for kernel in ("cd", "emd@32"):
        low, high = rows[f"1nna_{kernel}"]["interval"]
        assert low <= 0.5 <= high and 0 < rows[f"1nna_{kernel}"]["data"] < 1
        assert 0 < rows[f"mmd_{kernel}"]["floor"] < rows[f"mmd_{kernel}"]["value"]
    assert rows["1nna_cd"]["n"] == 16 and rows["cov_cd"]["n"] == 8
    assert rows["jsd"]["value"] > 0 and rows["readable"]["value"] == 1
    assert rows["spacing_spread"]["value"] == pytest.approx(0.523, abs=0.1)


def test_another_law_is_told_apart_and_gates(sets, tmp_path, numpy_rng, capsys):
    write_npz(tmp_path / "thin.npz", {"points": many(numpy_rng) * np.array([1, 1, 0.01], np.float32)})
    args = ("--reference", sets[1], "--norm", "none", *FAST, "--max", "1nna_cd=60%", "--quiet")
    assert score(tmp_path / "thin.npz", *args, "--min", "readable=1") == 1
    assert "MISSED: 1nna_cd is 1, the bound is 0.6" in capsys.readouterr().err
    assert score(sets[0], *args[:-3], "--max", "1nna_cd=100%", "--quiet") == 0


def test_copies_of_the_reference_show_below_half(sets, capsys):
    assert score(sets[1], "--reference", sets[1], "--norm", "global", *FAST, "--json") == 0
    _, rows = report(capsys)
    assert rows["1nna_cd"]["value"] == 0 and rows["cov_cd"]["value"] == 1 and rows["mmd_cd"]["value"] == 0


def test_one_accuracy_whatever_the_unit_and_another_distance(sets, tmp_path, capsys):
    gen, ref = sets
    found = {}
    for norm in ("global", "none"):
        assert score(gen, "--reference", ref, "--norm", norm, *FAST, "--json") == 0
        found[norm] = report(capsys)[1]
    for name in ("1nna_cd", "cov_cd", "1nna_emd@32"):
        assert found["global"][name]["value"] == found["none"][name]["value"]
    assert found["global"]["mmd_cd"]["value"] > 1.5 * found["none"]["mmd_cd"]["value"]


def test_a_run_repeats_and_a_seed_changes_it(sets, capsys):
    args = (*sets[:1], "--reference", sets[1], "--norm", "unit", "--points", 64, "--emd-points", 0, "--json")
    documents = []
    for seed in (0, 0, 1):
        assert score(*args, "--seed", seed) == 0
        documents.append(report(capsys)[0])
    assert documents[0] == documents[1] != documents[2]
    assert documents[0]["emd"] is None and not any("emd" in row["name"] for row in documents[0]["scores"])


def test_the_table_names_its_terms(sets, capsys):
    assert score(sets[0], "--reference", sets[1], "--norm", "bbox", *FAST) == 0
    out = capsys.readouterr().out
    for words in ("reference halves", "sampling floor", "1nna_emd@32", "normalisation bbox", "EMD of 32", "seed 0"):
        assert words in out


def test_completions_best_mean_and_diversity(pairs, capsys, tmp_path):
    tries, ref, partial = pairs
    args = ("--reference", ref, "--paired", "--partial", partial, "--norm", "unit", *FAST)
    assert score(tries, *args, "--json", "--out", tmp_path / "out") == 0
    _, rows = report(capsys)
    assert rows["chamfer_l1"]["n"] == 3 and rows["readable"]["n"] == 6
    assert rows["chamfer_l1_best"]["value"] < rows["chamfer_l1"]["value"] < rows["chamfer_l1"]["baseline"]
    assert rows["chamfer_l1_over_floor"]["value"] == pytest.approx(1, abs=0.15)  # completions are new samplings
    assert rows["emd@32"]["value"] == pytest.approx(rows["emd@32"]["floor"], rel=0.25)
    # Two completions: TMD is twice their Chamfer distance, here that of two samplings.
    assert rows["tmd"]["value"] == pytest.approx(2 * rows["chamfer_l2"]["floor"], rel=0.25)
    assert rows["uhd"]["value"] > rows["seen_l1"]["value"] > 0 and rows["missing_l1"]["value"] > 0
    table = list(csv.DictReader((tmp_path / "out" / "shapes.csv").open()))
    assert [row["id"] for row in table] == ["a", "b_1", "c"] and {row["completions"] for row in table} == {"2"}
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert written["mode"] == "pairs" and written["scores"] == [*rows.values()]


def test_what_needs_more_files_says_so(pairs, tmp_path, numpy_rng, capsys):
    tries, ref, _ = pairs
    single = ply(tmp_path / "single", {"a": ellipsoid(numpy_rng, [1, 1, 1])})
    args = ("--reference", ref, "--paired", "--norm", "unit", *FAST, "--quiet")
    assert score(single, *args, "--max", "tmd=1") == 1
    assert "tmd has no value: not applicable: needs two completions" in capsys.readouterr().err
    assert score(tries, *args, "--max", "uhd=1") == 1
    assert "needs `--partial`" in capsys.readouterr().err


def test_a_single_file_pairs_with_a_single_file(tmp_path, numpy_rng, capsys):
    for name in ("out", "truth"):
        write_cloud(tmp_path / f"{name}.ply", Cloud(ellipsoid(numpy_rng, [1, 1, 1])))
    args = ("--reference", tmp_path / "truth.ply", "--norm", "none", *FAST, "--json")
    assert score(tmp_path / "out.ply", *args, "--paired") == 0
    assert report(capsys)[1]["chamfer_l1"]["n"] == 1
    assert score(tmp_path / "out.ply", *args) == 0
    assert "two clouds or more" in report(capsys)[1]["1nna_cd"]["note"]


def test_a_mesh_is_sampled_and_brings_its_floor_in_closed_form(tmp_path, capsys):
    # A unit square: CD-L1 of two samplings is sqrt(1 / n) / 2, and so scores a mesh against itself.
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    write_mesh(tmp_path / "square.obj", Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32)))
    args = ("--reference", tmp_path / "square.obj", "--paired", "--norm", "none", "--points", 4096, "--emd-points", 0)
    assert score(tmp_path / "square.obj", *args, "--json") == 0
    row = report(capsys)[1]["chamfer_l1"]
    assert row["floor"] == pytest.approx(0.5 / 64) and row["value"] == pytest.approx(row["floor"], rel=0.05)


def test_broken_clouds_are_left_out_and_named(sets, tmp_path, numpy_rng, capsys):
    points = many(numpy_rng)
    points[3, 5, 1], points[4, 6, 2] = np.nan, 1e30
    write_npz(tmp_path / "some.npz", {"points": points, "ids": np.array([f"chair{k}" for k in range(8)])})
    args = ("--reference", sets[1], "--norm", "unit", *FAST)
    assert score(tmp_path / "some.npz", *args, "--quiet", "--out", tmp_path / "out") == 4
    assert "chair3: 1 of 128 points are not finite" in capsys.readouterr().err
    lines = (tmp_path / "out" / "errors.jsonl").read_text().splitlines()
    assert [json.loads(line)["record"] for line in lines] == ["chair3", "chair4"] and "1e+30" in lines[1]
    folder = ply(
        tmp_path / "folder", {f"g{k}": c for k, c in enumerate(many(numpy_rng, 4))} | {"small": points[0, :50]}
    )
    (folder / "broken.ply").write_bytes(b"ply\nnot a header\n")
    ply(folder, {"twin": np.repeat(points[0, :64], 2, axis=0)})
    assert score(folder, *args, "--quiet", "--min", "readable=60%") == 1
    err = capsys.readouterr().err
    assert "small: it holds 50 points and 128 are compared; lower `--points`" in err
    assert "broken" in err and "twin: only 64 of its 128 points are distinct" in err


def test_names_without_partner_are_left_out_or_refused(pairs, tmp_path, numpy_rng, capsys):
    tries, ref, partial = pairs
    ply(tries, {"stranger": ellipsoid(numpy_rng, [1, 1, 1])})
    (partial / "c.ply").unlink()
    for path in tries.glob("a_*"):
        path.unlink()
    args = ("--reference", ref, "--paired", "--norm", "unit", *FAST, "--quiet")
    assert score(tries, *args, "--partial", partial) == 4
    err = capsys.readouterr().err
    assert "stranger: no reference" in err and "a: no completion" in err and "c: no partial" in err
    others = ply(tmp_path / "others", {"x": ellipsoid(numpy_rng, [1, 1, 1]), "y": ellipsoid(numpy_rng, [1, 1, 1])})
    assert score(others, *args) == 3
    assert "share no name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--emd-points", 9999], "emd-points"),
        (["--points", 64, "--emd-points", 65], "`--emd-points 65` is more than `--points 64`"),
        (["--partial", "x"], "add `--paired`"),
        (["--min", "1nna=0.5"], "did you mean '1nna_cd'"),
        (["--min", "tmd=1"], "there is no score 'tmd'"),
        (["--points", 3], "points"),
        (["--norm", "sphere"], "sphere"),
    ],
)
def test_usage_errors(sets, args, words, capsys):
    norm = [] if "--norm" in args else ["--norm", "unit"]
    assert score(sets[0], "--reference", sets[1], *norm, *args) == 2
    assert words in capsys.readouterr().err


def test_a_score_without_its_normalisation_is_refused(sets, capsys):
    assert score(sets[0], "--reference", sets[1], *FAST) == 2
    assert "--norm" in capsys.readouterr().err


def test_refused_inputs(sets, tmp_path, capsys):
    gen, ref = sets
    (tmp_path / "empty").mkdir()
    write_npz(tmp_path / "flat.npz", {"points": np.zeros((2, 5, 2))})
    write_npz(tmp_path / "twice.npz", {"points": many(np.random.default_rng(0), 2), "ids": np.array(["a", "a"])})
    (tmp_path / "junk.ply").write_text("nothing of the kind")
    for path in ("empty", "flat.npz", "twice.npz", "junk.ply", "absent"):
        assert score(tmp_path / path, "--reference", ref, "--norm", "unit", *FAST) == 3, path
        assert str(tmp_path / path) in capsys.readouterr().err
    assert score(gen, "--reference", tmp_path / "empty", "--norm", "unit", *FAST) == 3
    assert "holds no shape file" in capsys.readouterr().err
    assert score(gen, "--reference", ref, "--norm", "unit", "--points", 129, "--emd-points", 0) == 3
    assert "lower `--points`" in capsys.readouterr().err


def test_junit_has_a_case_for_each_threshold(sets, tmp_path):
    path = tmp_path / "gate" / "junit.xml"
    args = ("--junit", path, "--max", "jsd=0", "--min", "readable=1", "--quiet")
    assert score(sets[0], "--reference", sets[1], "--norm", "unit", *FAST, *args) == 1
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite.get("name") == "scigen score points" and suite.get("failures") == "1"
