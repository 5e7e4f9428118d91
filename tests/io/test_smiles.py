"""SMILES lists and CSV tables."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scigen.errors import InputError
from scigen.io.molecules import Record, read_molecules, write_smiles_csv


def read(folder: Path, name: str, text: str) -> list[Record]:
    (folder / name).write_text(text)
    return list(read_molecules(folder / name))


def test_one_record_for_each_line(tmp_path: Path) -> None:
    records = read(tmp_path, "x.smi", "smiles name\nCCO ethanol\n\nC1CC\tring\nnonsense\n*C\nCC(C)(C)(C)C five bonds\n")
    assert [record.mol is None for record in records] == [False, True, True, True, False]
    assert [record.title for record in records] == ["ethanol", "ring", "", "", "five bonds"]
    assert records[1].reason == "line 4: `C1CC` is not a SMILES"


def test_csv_needs_its_column(tmp_path: Path) -> None:
    records = read(tmp_path, "x.csv", '\ufeffid,SMILES\n"a, b",CCO\nc\nd,\n')
    assert [(record.title, record.mol is None) for record in records] == [("a, b", False), ("c", True), ("d", True)]
    assert len(read(tmp_path, "y.csv", "smiles;qed\nCCO;1\n")) == 1
    for text, reason in {
        "a,b\n1,2\n": "needs one column `smiles`; its header is `a,b`",
        "smiles,smiles\nC,C\n": "needs one column",
        "smiles\n": "holds no record",
        'smiles\nC\n"CC\n': "broken CSV",
    }.items():
        with pytest.raises(InputError, match=reason):
            read(tmp_path, "z.csv", text)


@pytest.mark.parametrize("text", ["C" * 200_000, "(" * 100_000, "C(" * 9_000 + ")" * 9_000, "C1" * 9_000, "[" * 19_000])
def test_hostile_smiles_are_quick(tmp_path: Path, text: str) -> None:
    start = time.perf_counter()
    (record,) = read(tmp_path, "x.smi", text)
    assert record.mol is None and record.reason
    assert time.perf_counter() - start < 2.0


def test_rows_are_written_in_order(tmp_path: Path) -> None:
    rows = [{"smiles": "CCO", "valid": True, "qed": 0.123456789}, {"smiles": None, "valid": False}]
    assert write_smiles_csv(tmp_path / "x.csv", rows, ["smiles", "valid", "qed"]) == 2
    assert (tmp_path / "x.csv").read_text() == "smiles,valid,qed\nCCO,1,0.123457\n,0,\n"
    assert [record.mol is None for record in read_molecules(tmp_path / "x.csv")] == [False, True]
