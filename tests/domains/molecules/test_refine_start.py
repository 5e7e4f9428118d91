"""Where a refinement starts: embedded as written, relaxed, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor

from scigen.domains.molecules.codec import from_rdkit
from scigen.domains.molecules.refine.pairs import relaxed
from scigen.domains.molecules.refine.start import prepare, start_of
from scigen.io.smiles import parse_smiles
from scigen.metrics.chem import pack
from scigen.metrics.energy import gfn2_relaxation
from scigen.metrics.superpose import rmsd

CHIRAL = ["C[C@H](O)F", "C[C@@H](O)F", "N[C@@H](C)C(=O)O", "F/C=C/C", "F/C=C\\C", "O[C@H]1CC[C@@H]1C", "C[C@H]1CN1"]


@pytest.mark.parametrize("smiles", [*CHIRAL, "[NH3+]CC([O-])=O", "c1ccoc1", "[H]OC"])
def test_an_embedded_start_is_the_molecule_that_was_written(smiles: str) -> None:
    mol = parse_smiles(smiles)
    start = start_of(mol, seed=3)
    kept = [a.GetAtomicNum() for a in start.GetAtoms()]
    assert kept[: mol.GetNumAtoms()] == [a.GetAtomicNum() for a in mol.GetAtoms()]
    assert set(kept[mol.GetNumAtoms() :]) <= {1} and start.GetConformer().Is3D()
    Chem.AssignStereochemistryFrom3D(start)
    assert Chem.MolToSmiles(Chem.RemoveHs(start)) == Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
    again = start_of(mol, seed=3).GetConformer().GetPositions()
    assert np.array_equal(again, start.GetConformer().GetPositions())
    assert rmsd(relaxed(from_rdkit(start))[0], again) < 0.02, "already a minimum"


def test_a_drawing_on_a_plane_is_embedded_with_the_hand_it_shows() -> None:
    drawn = Chem.MolFromSmiles("C[C@H](N)C(=O)O")
    rdDepictor.Compute2DCoords(drawn)
    mol = Chem.MolFromMolBlock(Chem.MolToMolBlock(drawn), sanitize=False, removeHs=False)
    start = start_of(mol)
    Chem.AssignStereochemistryFrom3D(start)
    assert Chem.MolToSmiles(Chem.RemoveHs(start)) == "C[C@H](N)C(=O)O"


def squeezed(smiles: str, shrink: float, atoms: int) -> Chem.Mol:
    mol = start_of(parse_smiles(smiles))
    pos = mol.GetConformer().GetPositions()
    pos[:atoms] *= shrink
    mol.GetConformer().SetPositions(pos)
    return mol


@pytest.mark.parametrize(
    ("mol", "why"),
    [
        (squeezed("CCO", 0.0, 9), "two atoms lie 0.00 Å apart"),
        (squeezed("CCO", 0.0, 2), "MMFF94 breaks down"),
        (parse_smiles("CS"), "S with charge \\+0 .atom 2. is outside"),
        (parse_smiles("C[O+](C)C"), "O with charge \\+1"),
        (parse_smiles("CCCCCCCCCC"), "32 atoms; molecules of 3 to 29"),
        (parse_smiles("F"), "2 atoms"),
        (parse_smiles("CN(C)(C)->O"), "Bond type DATIVE"),
        (parse_smiles("C.O"), "2 molecules in one record"),
        (parse_smiles("C(C)(C)(C)(C)C"), "valence"),
        (Chem.RemoveHs(start_of(parse_smiles("CCO"))), "lacks 6 hydrogens"),
    ],
)
def test_what_cannot_be_refined_says_why(mol: Chem.Mol, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        start_of(mol, sizes=(3, 29))
    item = {"mol": pack(mol), "relax": True, "sizes": (3, 29), "seed": 0, "engine": "ode"}
    assert set(prepare(item)) == {"reason"}


def test_gfn2_ends_in_its_own_minimum_whatever_the_bridge_knows() -> None:
    pytest.importorskip("tblite")
    from scigen.metrics.chem import unpack

    item = {"mol": pack(parse_smiles("CS")), "relax": True, "sizes": None, "seed": 0, "engine": "gfn2"}
    assert gfn2_relaxation(unpack(prepare(item)["mol"])) < 0.01
