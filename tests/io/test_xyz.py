"""XYZ: frames, perception and its deadline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from scigen.domains.molecules.data import load_fixture
from scigen.errors import InputError
from scigen.io.bonds import bare_molecule, perceive, set_bonds
from scigen.io.molecules import Record, read_molecules, write_xyz
from scigen.io.xyz import read_xyz
from tests.io import seeds

WATER = "3\nwater\nO 0 0 0.119\nH 0 0.763 -0.477\nH 0 -0.763 -0.477\n"


def read(folder: Path, text: str) -> list[Record]:
    (folder / "x.xyz").write_text(text)
    return list(read_molecules(folder / "x.xyz"))


def test_bonds_orders_and_charges_are_perceived(tmp_path: Path) -> None:
    (tmp_path / "x.xyz").write_bytes(seeds.xyz())
    for record, smiles in zip(read_molecules(tmp_path / "x.xyz"), seeds.SMILES, strict=True):
        mol = Chem.Mol(record.mol)
        Chem.SanitizeMol(mol)
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.CanonSmiles(smiles)


def test_round_trip(tmp_path: Path) -> None:
    mol = seeds.embedded("CCO")
    assert write_xyz(tmp_path / "x.xyz", [mol, mol], ["a\nb", "$$$$"]) == 2
    first, second = read_molecules(tmp_path / "x.xyz")
    assert (first.title, second.title) == ("a b", "")
    assert np.allclose(first.mol.GetConformer().GetPositions(), mol.GetConformer().GetPositions(), atol=1e-6)


def test_numbers_blank_lines_and_isotopes_are_read(tmp_path: Path) -> None:
    numbers = WATER.replace("O ", "8 ").replace("H ", "1 ", 1).replace("H ", "d ", 1)
    records = read(tmp_path, f"\n{WATER}\n\n{numbers}")
    assert [[a.GetAtomicNum() for a in record.mol.GetAtoms()] for record in records] == [[8, 1, 1]] * 2


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (WATER.replace("0.119", "nan"), "line 8: the coordinate nan"),
        (WATER.replace("O ", "Xx "), "line 8: `Xx` is not an element"),
        (WATER.replace("O ", "999 "), "line 8: `999` is not an element"),
        (WATER.replace("O 0 0 0.119", "O 0 0"), "line 8: `O 0 0` is not"),
    ],
)
def test_a_bad_frame_says_why_and_its_neighbours_stay(tmp_path: Path, frame: str, reason: str) -> None:
    records = read(tmp_path, WATER + frame + WATER)
    assert [record.mol is None for record in records] == [False, True, False]
    assert reason in (records[1].reason or "")


def test_a_lost_count_ends_the_reading_with_a_reason(tmp_path: Path) -> None:
    records = read(tmp_path, WATER + WATER.replace("3\n", "3 atoms\n") + WATER)
    assert len(records) == 2
    assert "the rest of the file cannot be read" in (records[1].reason or "")
    records = read(tmp_path, WATER + WATER[:-25])
    assert "3 atoms are declared, and the file ends after 2" in (records[1].reason or "")


def test_files_that_are_no_xyz(tmp_path: Path) -> None:
    for text, reason in {
        "hello\n": "not a number of atoms",
        "2000000000\n\nH 0 0 0\n": "2000000000 atoms",
        "90000\n\nH 0 0 0\n": "it was cut",
        "0\n\n": "0 atoms",
    }.items():
        with pytest.raises(InputError, match=reason):
            read(tmp_path, text)


def test_atoms_without_bonds_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    soup = "".join(f"C {x:.3f} {y:.3f} {z:.3f}\n" for x, y, z in rng.normal(size=(40, 3)))
    soup, water = read(tmp_path, f"40\nsoup\n{soup}{WATER}")
    assert soup.mol is not None and soup.mol.GetNumAtoms() == 40 and soup.mol.GetNumBonds() == 0
    assert "bonds could not be assigned" in (soup.reason or "")
    assert water.reason is None


def test_a_deadline_costs_one_frame_its_bonds_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "x.xyz").write_text(WATER * 3)
    records = list(read_xyz(tmp_path / "x.xyz", seconds=0.0))
    assert any("timed out after 0 s" in (record.reason or "") for record in records)
    assert [record.mol.GetNumAtoms() for record in records if record.mol is not None] == [3, 3, 3]


def test_two_hundred_soups_are_all_answered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(200):
        atoms, scale = int(rng.integers(2, 60)), rng.uniform(0.3, 3.0)
        rows = zip(rng.choice(list("HCNOFSPB"), atoms), scale * rng.normal(size=(atoms, 3)))
        frames.append(f"{atoms}\nsoup\n" + "".join(f"{s} {x:.4f} {y:.4f} {z:.4f}\n" for s, (x, y, z) in rows))
    records = read(tmp_path, "".join(frames))
    assert len(records) == 200
    assert all(record.mol is not None for record in records)


def test_bonds_of_real_molecules_are_found_cages_included() -> None:
    data = load_fixture()
    same = 0
    for k in range(len(data)):
        m = data[k]
        found = perceive(m.z.tolist(), m.pos.tolist(), int(m.charge.sum()))
        mol = set_bonds(bare_molecule(m.z.tolist(), m.pos.tolist()), found["bonds"], found["charges"])
        Chem.SanitizeMol(mol)
        ours = Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)
        same += ours == Chem.CanonSmiles(data.smiles[k].decode(), useChiral=0)
    assert same >= 0.98 * len(data)  # the rest are other resonance forms of the same neighbours
