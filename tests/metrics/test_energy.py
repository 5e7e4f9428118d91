"""Strain energies: zero at the minimum, positive off it, and clear refusals. Optional engines skip when absent."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from scigen.metrics.energy import gfn2_relaxation, mmff_strain
from scigen.metrics.gfn2 import descend


def relaxed(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=3)
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=5000)
    return mol


def stretched(mol: Chem.Mol, factor: float) -> Chem.Mol:
    mol = Chem.Mol(mol)
    for k, xyz in enumerate((mol.GetConformer().GetPositions() * factor).tolist()):
        mol.GetConformer().SetAtomPosition(k, xyz)
    return mol


def test_mmff_strain_is_zero_at_the_minimum_and_grows():
    mol = relaxed("CCO")
    strains = [mmff_strain(stretched(mol, factor)) for factor in (1.0, 1.02, 1.05)]
    assert abs(strains[0]) < 0.05 and 0.5 < strains[1] < strains[2]


def test_a_rigid_motion_costs_nothing():
    mol = stretched(relaxed("CC(=O)N"), 1.03)
    moved = Chem.Mol(mol)
    for k, xyz in enumerate((mol.GetConformer().GetPositions() @ np.diag([1.0, -1, 1]) + [3.0, 1, 2]).tolist()):
        moved.GetConformer().SetAtomPosition(k, xyz)
    assert mmff_strain(moved) == pytest.approx(mmff_strain(mol), abs=1e-3)


@pytest.mark.parametrize(
    ("mol", "why"),
    [(Chem.MolFromSmiles("CC"), "no 3D"), (Chem.RemoveHs(relaxed("CC")), "lacks hydrogens")],
)
def test_refusals(mol, why):
    with pytest.raises(ValueError, match=why):
        mmff_strain(mol)


def test_gfn2_relaxation():
    pytest.importorskip("tblite")
    mol = relaxed("CO")
    near, far = gfn2_relaxation(mol), gfn2_relaxation(stretched(mol, 1.06))
    assert 0 <= near < 1.5 < far
    radical = Chem.AddHs(Chem.MolFromSmiles("[CH3]"))
    rdDistGeom.EmbedMolecule(radical, randomSeed=1)
    with pytest.raises(ValueError, match="odd number"):
        gfn2_relaxation(radical)


@pytest.mark.parametrize("smiles", ["CCO", "NC(=O)C1CC1", "OCC#N"])
def test_gfn2_reaches_one_minimum_from_wherever_it_starts(smiles):
    """To 0.05 kcal/mol; a descent that stops at its first small step misses the minimum by 0.1 and more."""
    pytest.importorskip("tblite")
    mol, rng = relaxed(smiles), np.random.default_rng(0)
    z = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    bond = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()])
    pos = mol.GetConformer().GetPositions()
    ends = [descend(z, 0.0, pos + rng.normal(scale=0.03, size=pos.shape), bond) for _ in range(3)]
    assert all(end.converged and end.energy < end.start_energy for end in ends)
    assert np.ptp([627.5 * end.energy for end in ends]) < 0.05
