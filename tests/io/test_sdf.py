"""SDF: every reason for refusing a record, and the records around it kept."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem

from scigen.errors import InputError
from scigen.io.molecules import Record, read_molecules, write_sdf
from tests.io import seeds

ETHANOL = seeds.embedded("CCO")
BLOCK = Chem.MolToMolBlock(ETHANOL)
V3000 = Chem.MolToMolBlock(ETHANOL, forceV3000=True)


def read(folder: Path, text: str | bytes, name: str = "x.sdf") -> list[Record]:
    data = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(data)
    return list(read_molecules(folder / name))


def edited(old: str, new: str, block: str = BLOCK) -> str:
    assert old in block
    return block.replace(old, new, 1)


FIRST_X = BLOCK.splitlines()[4][:10]
BAD = {
    "nan": (edited(FIRST_X, "       nan"), "line 33: the coordinate nan"),
    "infinity": (edited(FIRST_X, "      -inf"), "line 33: the coordinate -inf"),
    "blank coordinate": (edited(FIRST_X, " " * 10), "line 33: `` is not a coordinate"),
    "huge coordinate": (edited(FIRST_X, "     1e300"), "line 33: the coordinate 1e300"),
    "element": (edited(" C  ", " Xx "), "line 33: `Xx` is not an element"),
    "dummy": (edited(" C  ", " *  "), "line 33: `*` is not an element"),
    "too few bonds declared": (edited("  9  8", "  9  7"), "more lines than the counts declare"),
    "too many atoms declared": (edited("  9  8", " 99  8"), "99 atoms and 8 bonds are declared"),
    "no counts": (edited("  9  8", "  x  8"), "`x` is not a number of atoms"),
    "no atoms": (edited("  9  8", "  0  0"), "declares no atoms"),
    "self bond": (edited("  1  2  1  0", "  2  2  1  0"), "a bond between the atoms 2 and 2"),
    "far bond": (edited("  1  2  1  0", "  1 77  1  0"), "a bond between the atoms 1 and 77"),
    "query bond": (edited("  1  2  1  0", "  1  2  8  0"), "`8` is not a bond type"),
    "double bond twice": (edited("  1  2  1  0", "  2  3  1  0"), "RDKit refuses"),
    "cut": (BLOCK[: len(BLOCK) // 2] + "\n", "no `M  END`"),
    "cut in a line": (BLOCK[: len(BLOCK) // 2], "no `M  END`"),
    "two in one": (BLOCK + "> <a>\nb\n\n" + BLOCK, "the `$$$$` between two records is lost"),
    "stray text": (BLOCK + "hello\n", "no data item"),
    "empty": ("", "no `M  END`"),
    "charge": (edited("M  END", "M  CHG  1   1  99\nM  END"), "has the charge 99"),
    "v3000 counts": (edited("COUNTS 9 8", "COUNTS 9 7", V3000), "9 and 8 are listed"),
    "v3000 huge": (edited("COUNTS 9 8", "COUNTS 2000000000 8", V3000), "2000000000 atoms"),
    "v3000 nan": (edited("M  V30 1 C " + V3000.split("M  V30 1 C ")[1].split()[0], "M  V30 1 C nan", V3000), "nan"),
    "v3000 cut": (edited("M  V30 END ATOM\n", "", V3000), "without `END ATOM`"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_record_says_why_and_its_neighbours_stay(tmp_path: Path, case: str) -> None:
    block, reason = BAD[case]
    records = read(tmp_path, f"{BLOCK}$$$$\n{block}$$$$\n{BLOCK}$$$$\n")
    assert [record.mol is None for record in records] == [False, True, False]
    # The numbers in the table are those of a block after 28 lines: the ethanol block, `$$$$`, three header lines.
    assert reason.replace("line 33", f"line {len(BLOCK.splitlines()) + 1 + 5}") in (records[1].reason or "")
    assert "line " in (records[1].reason or "")


def test_three_bad_in_ten_thousand(tmp_path: Path) -> None:
    water = Chem.MolToMolBlock(seeds.embedded("O"))
    parts = [f"water {i}\n{water.split(chr(10), 1)[1]}$$$$\n" for i in range(10_000)]
    for bad in (0, 4_321, 9_999):
        parts[bad] = f"{BAD['nan'][0]}$$$$\n"
    records = read(tmp_path, "".join(parts))
    assert [record.index for record in records] == list(range(10_000))
    assert [record.index for record in records if record.mol is None] == [0, 4_321, 9_999]
    assert records[77].title == "water 77"


def test_truncation_is_seen_wherever_it_falls(tmp_path: Path) -> None:
    whole = seeds.sdf()
    for cut in range(0, len(whole) - 6, 97):
        records = read(tmp_path, whole[:cut]) if cut > 200 else []
        # A cut on the border of a record is the one that cannot be seen, and a mol file may lack its `$$$$`.
        if records and not whole[:cut].rstrip().endswith((b"$$$$", b"M  END")):
            assert records[-1].mol is None and records[-1].reason


@pytest.mark.parametrize("v3000", [False, True])
def test_values_survive(tmp_path: Path, v3000: bool) -> None:
    for record, smiles in zip(read(tmp_path, seeds.sdf(v3000)), seeds.SMILES, strict=True):
        mol = Chem.Mol(record.mol)
        Chem.SanitizeMol(mol)
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.CanonSmiles(smiles)
        assert mol.GetProp("smiles") == record.title == smiles
        assert np.allclose(
            mol.GetConformer().GetPositions(), seeds.embedded(smiles).GetConformer().GetPositions(), atol=6e-5
        )


def test_files_that_are_no_sdf(tmp_path: Path) -> None:
    for data, reason in {
        b"": "is empty",
        b"\n\n  \n": "blank lines",
        b"hello\nworld\n" * 10: "is not an SDF",
        bytes(range(256)): "NUL",
        b"x" * 1_500_000: "longer than",
    }.items():
        with pytest.raises(InputError, match=reason):
            read(tmp_path, data)
    with pytest.raises(InputError, match="does not exist"):
        list(read_molecules(tmp_path / "none.sdf"))
    with pytest.raises(InputError, match="not a regular file"):
        (tmp_path / "folder.sdf").mkdir()
        list(read_molecules(tmp_path / "folder.sdf"))
    with pytest.raises(InputError, match="names no molecule format"):
        read_molecules(tmp_path / "x.pdf")


def test_gzip(tmp_path: Path) -> None:
    assert len(read(tmp_path, gzip.compress(seeds.sdf()), "x.sdf.gz")) == len(seeds.SMILES)
    with pytest.raises(InputError, match="gzip"):
        read(tmp_path, gzip.compress(seeds.sdf())[:-30], "x.sdf.gz")
    with pytest.raises(InputError, match="gzip"):
        read(tmp_path, seeds.sdf(), "x.sdf.gz")
    with pytest.raises(InputError, match="a record of more than"):
        read(tmp_path, gzip.compress(b"\n" * 40_000_000), "x.sdf.gz")
    with pytest.raises(InputError, match="times its size"):
        read(tmp_path, gzip.compress((b" " * 900_000 + b"\n") * 50), "x.sdf.gz")


def test_many_atoms_are_written_as_v3000(tmp_path: Path) -> None:
    mol = Chem.MolFromSmiles("C" * 1100)
    mol.AddConformer(Chem.Conformer(1100))
    write_sdf(tmp_path / "x.sdf", [mol])
    (record,) = read_molecules(tmp_path / "x.sdf")
    assert record.mol is not None and record.mol.GetNumAtoms() == 1100


def test_invalid_chemistry_is_written_and_read(tmp_path: Path) -> None:
    mol = Chem.MolFromSmiles("CC(C)(C)(C)C", sanitize=False)
    ring = Chem.MolFromSmiles("c1cccc1", sanitize=False)
    assert write_sdf(tmp_path / "x.sdf", [mol, ring]) == 2
    assert [r.mol.GetNumBonds() for r in read_molecules(tmp_path / "x.sdf")] == [5, 5]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=st.text(max_size=300), name=st.text(max_size=40), value=st.text(max_size=300))
def test_no_text_breaks_the_format(tmp_path: Path, title: str, name: str, value: str) -> None:
    write_sdf(tmp_path / "x.sdf", [ETHANOL, ETHANOL], [{name: value, "n": 1}] * 2, [title, title])
    records = list(read_molecules(tmp_path / "x.sdf"))
    assert [record.reason for record in records] == [None, None]
    assert all(record.mol.GetProp("n") == "1" for record in records)
