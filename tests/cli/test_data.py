"""`scigen data prepare`: the packed set from CSV files like those of qm9pack, and what goes wrong before."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.domains.molecules import qm9
from scigen.domains.molecules.data import Molecule, load, load_fixture

SYMBOL = {number: element for element, number in qm9.NUMBER.items()}


def write_csv(path: Path, rows: list[tuple[int, Molecule, str]]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["Index", "Elements", "XYZ_Ang", "SMILES", *qm9.COLUMNS])
        writer.writeheader()
        for index, molecule, smiles in rows:
            facts = {"Index": index, "Elements": [SYMBOL[z] for z in molecule.z.tolist()], "SMILES": smiles}
            # The source writes whole numbers as `0.`, which is not JSON.
            facts["XYZ_Ang"] = json.dumps(molecule.pos.astype(float).tolist()).replace(".0,", ".,")
            writer.writerow({**facts, **{c: 0.5 * k for k, c in enumerate(qm9.COLUMNS)}})


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three small files in the layout of qm9pack, out of order, one row with a SMILES of another molecule."""
    data = load_fixture()
    rows = [(int(data.index[k]), data[k], data.smiles[k].decode()) for k in range(12)]
    rows[5] = (rows[5][0], rows[5][1], "C")
    files = [tmp_path / f"qm9_part{k}.csv" for k in (1, 2, 3)]
    for k, file in enumerate(files):
        write_csv(file, list(reversed(rows[4 * k : 4 * k + 4])))
    monkeypatch.setattr(qm9, "source_files", lambda: files)
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "cache"))
    return files


def test_the_set_is_that_of_the_files(source: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "prepare", "qm9"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "12 molecules" in err
    built, fixture = load(tmp_path / "cache" / "qm9.npz"), load_fixture()
    order = np.argsort(fixture.index[:12])
    assert built.index.tolist() == fixture.index[:12][order].tolist()
    missed = int(np.flatnonzero(order == 5)[0])
    for k, row in enumerate(order):
        ours, theirs = built[k], fixture[int(row)]
        assert np.array_equal(ours.z, theirs.z) and np.allclose(ours.pos, theirs.pos, atol=1e-6)
        if k != missed:
            assert np.array_equal(ours.bond, theirs.bond) and np.array_equal(ours.charge, theirs.charge)
    assert len(built[missed].bond) == 0, "a row without bonds keeps its place"
    assert np.allclose(built.prop, 0.5 * np.arange(15))
    facts = json.loads((tmp_path / "cache" / "qm9.json").read_text())
    assert facts["molecules"] == 12 and facts["content_sha256"] == built.content_hash()
    assert facts["without_bonds"] == [int(fixture.index[5])]


def test_quiet(source: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "prepare", "qm9", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("scigen: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["data", "prepare", "qm9"]) == 3
    assert "'qm9pack' is not installed; install it with `pip install 'scigen[data]'`" in sentence(capsys)


def test_an_unknown_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "prepare", "qm8"]) == 2
    assert "No data set 'qm8'" in sentence(capsys)


@pytest.mark.parametrize("damage", ["missing", "column", "geometry", "element", "binary"])
def test_damaged_source_files(source: list[Path], damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = source[1].read_text()
    if damage == "missing":
        source[1].unlink()
    elif damage == "binary":
        source[1].write_bytes(b"\xff\xfe\x00" * 100)
    else:
        swap = {"column": ("XYZ_Ang", "XYZ"), "geometry": ("[[", "[[oops, "), "element": ("'C'", "'Xx'")}[damage]
        source[1].write_text(text.replace(*swap))
    assert run(["data", "prepare", "qm9", "--quiet"]) == 3
    assert "qm9_part2.csv" in sentence(capsys)


def test_an_unwritable_cache(
    source: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "file"))
    assert run(["data", "prepare", "qm9", "--quiet"]) == 6
    assert "is a file, and a folder is needed" in sentence(capsys)


def test_views_of_one_split_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    line = "data prepare views procedural --per-family 2 --split val --name held --quiet --pixels 16 --pictures 1"
    assert run(line.split()) == 0
    facts = json.loads((tmp_path / "views" / "held.json").read_text())
    assert facts["shapes"] == facts["splits"]["val"] > 0
