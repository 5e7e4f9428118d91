"""Identity, fragments and validity of molecules; the description of one molecule."""

import time

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from scipy.spatial.transform import Rotation

from scigen.metrics.chem import build, canonical, largest_fragment, pack, sanitized, unpack, without_hydrogens
from scigen.metrics.describe import describe, describe_packed


def embedded(smiles: str, seed: int = 1) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=seed)
    return mol


@pytest.mark.parametrize(
    ("a", "b"), [("C[C@H](O)F", "C[C@@H](O)F"), ("F/C=C/F", "F/C=C\\F"), ("[13CH4]", "C"), ("[CH4:3]", "C"),
                 ("C1=CC=CC=C1", "c1ccccc1"), ("[H]C([H])([H])O", "CO")],
)  # fmt: skip
def test_one_identity_for(a, b):
    assert canonical(without_hydrogens(Chem.MolFromSmiles(a))) == canonical(Chem.MolFromSmiles(b))


def test_hydrogens_tell_an_under_valent_atom_when_kept():
    three = build(np.array([6, 1, 1, 1]), np.array([[0, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]))
    clean, reason = sanitized(three)
    assert clean is not None and reason == ""  # an implicit hydrogen is allowed
    assert canonical(clean) == "[H]C([H])[H]"


def test_five_bonds_on_carbon_are_refused_with_the_reason():
    orders = np.zeros((6, 6), int)
    orders[0, 1:] = orders[1:, 0] = 1
    clean, reason = sanitized(build(np.array([6, 1, 1, 1, 1, 1]), orders))
    assert clean is None and "valence" in reason and "\n" not in reason


def test_largest_fragment_counts_atoms_and_takes_the_first_of_equals():
    mol = Chem.MolFromSmiles("O.CCO.CCN")
    fragment, count = largest_fragment(mol)
    assert count == 3 and Chem.MolToSmiles(fragment) == "CCO"


def test_packing_keeps_positions_exactly():
    mol = embedded("CCO")
    again = unpack(pack(mol))
    assert (again.GetConformer().GetPositions() == mol.GetConformer().GetPositions()).all()


def test_description_of_a_good_molecule():
    row = describe(embedded("CC(=O)N"))
    assert row["valid"] and row["strict_stable"] and row["smiles"] == "CC(N)=O" and row["fragments"] == 1
    assert row["strict_atoms"] == row["n_atoms"] == 9 and row["n_heavy"] == 4
    assert len(row["bonds"]) == 8 and 0 < row["qed"] < 1 and 1 <= row["sa"] <= 10
    assert sorted(row["centres"]) == [6, 6, 7]


def test_description_is_the_same_turned_and_reordered(numpy_rng):
    mol = embedded("c1ccc(cc1)C#N", seed=7)
    shuffle = numpy_rng.permutation(mol.GetNumAtoms()).tolist()
    turned = Chem.RenumberAtoms(mol, shuffle)
    turn = Rotation.random(rng=numpy_rng).as_matrix()
    positions = turned.GetConformer().GetPositions() @ turn.T + [5.0, -1.0, 2.0]
    for k, xyz in enumerate(positions.tolist()):
        turned.GetConformer().SetAtomPosition(k, xyz)
    first, second = describe(mol), describe(turned)
    for row in (first, second):
        row["bonds"], row["centres"] = sorted(row["bonds"]), sorted(row["centres"])
        row["angles"] = len(row["angles"])  # a rounding at the edge of a bin of 0.1 degree may go either way
    assert first == second


def test_a_molecule_without_coordinates_gets_its_hydrogens():
    row = describe(Chem.MolFromSmiles("CCO", sanitize=False))
    assert not row["has_3d"] and row["valid"] and row["strict_stable"] and row["strict_size"] == 9
    assert "edm_stable" not in row and "bonds" not in row


def test_an_invalid_molecule_keeps_its_distances():
    mol = Chem.RWMol(embedded("CC"))
    mol.AddBond(0, 7, Chem.BondType.SINGLE)
    row = describe(mol.GetMol())
    assert not row["valid"] and row["smiles"] is None and not row["strict_stable"] and row["reason"]
    assert row["edm_valid"] and len(row["bonds"]) == 8


def test_the_packed_description_is_the_same():
    mol = embedded("CCO")
    assert describe_packed(pack(mol)) == describe(mol)


def test_a_dense_aromatic_soup_is_refused_at_once():
    # Kekulising this graph unsanitised takes minutes; refusing it takes milliseconds.
    mol = Chem.RWMol()
    for _ in range(40):
        mol.AddAtom(Chem.Atom(6))
    for i in range(40):
        for j in range(i):
            mol.AddBond(j, i, Chem.BondType.AROMATIC)
    conformer = Chem.Conformer(40)
    for k in range(40):
        conformer.SetAtomPosition(k, (float(k), 0.0, 0.0))
    mol.AddConformer(conformer)
    start = time.perf_counter()
    row = describe(mol.GetMol())
    assert time.perf_counter() - start < 5 and not row["valid"] and row["strict_atoms"] == 0
