"""`scigen data prepare points`, as a user runs it: what it leaves, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.domains.shapes.pack import load_shapes
from scigen.io.meshes import write_mesh
from scigen.io.npz import read_npz
from tests.domains.shapes.bodies import ball, box


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "scans"
    source.mkdir()
    write_mesh(source / "a.stl", box())
    write_mesh(source / "b.obj", ball(rings=6))
    prepare = ["data", "prepare", "points", "folder", "--source", str(source), "--name", "mine", "--points", "64"]
    assert run(prepare) == 0
    out, err = capsys.readouterr()
    assert out == "" and "2 shapes" in err and "0 failed" in err
    shapes = load_shapes("mine")
    facts = json.loads((tmp_path / "cache/points/mine.json").read_text())
    assert facts["content_sha256"] == shapes.content_hash() and shapes.points.shape == (2, 64, 3)
    assert facts["categories"] == {"scans": facts["splits"]} and sum(facts["splits"].values()) == 2
    (source / "c.ply").write_text("ply\nno")
    assert run([*prepare, "--quiet"]) == 4, "written, in part"
    assert capsys.readouterr() == ("", "") and len(load_shapes("mine")) == 2
    failed = json.loads((tmp_path / "cache/points/mine.json").read_text())["failed"]
    assert list(failed) == ["c.ply"] and "PLY" in failed["c.ply"]
    for file in ("a.stl", "b.obj"):
        (source / file).unlink()
    assert run(prepare) == 3
    assert "None of 1 shapes of 'mine' can be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, code, sentence",
    [
        (["points"], 2, "Which points?"),
        (["points", "shapnet", "--source", "."], 2, "No shapes called 'shapnet'"),
        (["points", "pcn"], 2, "say where they are with `--source PATH`"),
        (["points", "pcn", "--source", "nowhere"], 3, "`nowhere` does not exist"),
        (["points", "pcn", "--source", "."], 3, "No shapes for 'pcn'"),
        (["points", "procedural", "--source", "."], 2, "come from a seed"),
        (["points", "folder", "--source", ".", "--per-family", "3"], 2, "`--per-family` is for procedural"),
        (["points", "folder", "--source", ".", "--points", "0"], 2, "0 points"),
        (["qm9", "--source", "."], 2, "those go with `points`"),
        (["qm9", "extra"], 2, "those go with `points`"),
    ],
)
def test_wrong_words(words, code, sentence, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert run(["data", "prepare", *words]) == code
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1


def test_a_name_that_is_no_file_name(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "cache"))
    write_mesh(tmp_path / "a.stl", box())
    for name in ("../x", "a/b", ".x"):
        assert run(["data", "prepare", "points", "folder", "--source", str(tmp_path), "--name", name]) == 2
        assert "cannot name a file" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


def test_procedural_shapes_need_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    words = ["--per-family", "1", "--points", "32", "--quiet", "--name", "tiny"]
    assert run(["data", "prepare", "points", "procedural", *words]) == 0
    shapes = load_shapes("tiny")
    assert len(shapes) == len(shapes.categories) and shapes.normals is not None and "CC0" in shapes.licence
    assert read_npz(tmp_path / "points" / "tiny.npz")["points"].dtype == np.float16
