"""SMILES laid onto geometries: charges, triple bonds, and None when the two are not the same molecule."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from scigen.domains.molecules.bonds import bonds_from_smiles
from scigen.domains.molecules.data import load_fixture

DATA = load_fixture()
SMILES = [s.decode() for s in DATA.smiles]
ORDER = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3}


def row(smiles: str) -> int:
    return SMILES.index(smiles)


def heavy_orders(k: int) -> list[int]:
    heavy = np.flatnonzero(DATA[k].z > 1)
    return sorted(int(o) for i, j, o in DATA[k].bond if i in heavy and j in heavy)


def test_the_published_smiles_gives_the_stored_bonds():
    for k, smiles in enumerate(SMILES):
        found = bonds_from_smiles(smiles, DATA[k].z, DATA[k].pos)
        assert np.array_equal(found.bonds, DATA[k].bond) and np.array_equal(found.charge, DATA[k].charge), smiles


def test_orders_and_charges_are_the_published_ones():
    for k, smiles in enumerate(SMILES):
        mol = Chem.MolFromSmiles(smiles)
        Chem.Kekulize(mol, clearAromaticFlags=True)
        assert heavy_orders(k) == sorted(ORDER[b.GetBondType().name] for b in mol.GetBonds()), smiles
        assert sorted(DATA[k].charge[DATA[k].charge != 0]) == sorted(
            a.GetFormalCharge() for a in mol.GetAtoms() if a.GetFormalCharge()
        )


@pytest.mark.parametrize(
    ("smiles", "charges"), [("[NH3+]CCC([O-])=O", {7: 1, 8: -1}), ("NC(=[NH2+])C[C-](C#N)C#N", {7: 1, 6: -1})]
)
def test_charges_sit_on_the_right_atoms(smiles, charges):
    m = DATA[row(smiles)]
    assert {int(z): int(q) for z, q in zip(m.z, m.charge) if q} == charges
    valence = np.zeros(len(m.z), int)
    for i, j, order in m.bond:
        valence[i] += order
        valence[j] += order
    neutral = {1: 1, 6: 4, 7: 3, 8: 2, 9: 1}
    charged = {(7, 1): 4, (8, -1): 1, (6, -1): 3}
    assert [charged.get((int(z), int(q)), neutral[int(z)]) for z, q in zip(m.z, m.charge)] == valence.tolist()


def test_triple_bonds():
    m = DATA[row("CCC#N")]
    ((i, j, _),) = [b for b in m.bond if b[2] == 3]
    assert {int(m.z[i]), int(m.z[j])} == {6, 7}
    assert np.linalg.norm(m.pos[i] - m.pos[j]) < 1.2
    assert sum(int(b[2] == 3) for b in DATA[row("C#CC1CC1C#C")].bond) == 2


def test_each_bond_is_listed_once_in_order():
    for k in range(len(DATA)):
        bond = DATA[k].bond.astype(int)
        assert (bond[:, 0] < bond[:, 1]).all() and set(bond[:, 2]) <= {1, 2, 3}
        assert [tuple(b) for b in bond] == sorted({tuple(b) for b in bond})


def test_neither_the_frame_nor_the_numbering_matters(numpy_rng):
    for smiles in ("[NH3+]CCC([O-])=O", "CN1C=NC=C1C#N"):
        m = DATA[row(smiles)]
        order = numpy_rng.permutation(len(m.z))
        turn = np.linalg.qr(numpy_rng.normal(size=(3, 3)))[0]
        found = bonds_from_smiles(smiles, m.z[order], m.pos[order] @ turn + 5)
        assert found is not None
        back = np.sort(order[found.bonds[:, :2].astype(int)], 1)
        # Symmetric atoms may trade places (a carboxylate's oxygens): kinds of bonds are what must agree.
        kinds = sorted((*sorted(m.z[b].tolist()), int(o)) for b, o in zip(back, found.bonds[:, 2]))
        assert kinds == sorted((*sorted(m.z[b[:2]].tolist()), int(b[2])) for b in m.bond)
        assert sorted(found.charge) == sorted(m.charge)


def test_none_when_the_two_are_not_one_molecule():
    k = row("CCC#N")
    z, pos = DATA[k].z, DATA[k].pos
    assert bonds_from_smiles("not a smiles", z, pos) is None
    assert bonds_from_smiles("CC", z, pos) is None  # another number of atoms
    assert bonds_from_smiles("C1CC1", z, pos) is None  # as many atoms, other elements
    assert bonds_from_smiles("CC[N+]#[C-]", z, pos) is None  # the same atoms, other neighbours
    assert bonds_from_smiles("CCC#N", z, pos * 3) is None  # nothing touches
    assert bonds_from_smiles("CCC#N", z, pos * 0) is None  # everything touches


def test_an_element_without_a_radius_is_none():
    z = np.array([14, 1, 1, 1, 1], np.uint8)
    pos = np.array([[0, 0, 0], [1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]], np.float32) * 0.85
    assert bonds_from_smiles("[SiH4]", z, pos) is None
