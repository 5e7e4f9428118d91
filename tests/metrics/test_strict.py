"""Rule `strict`: every case that the tables in use get wrong."""

import numpy as np
import pytest
from rdkit import Chem

from scigen.metrics.chem import graph_of
from scigen.metrics.strict import kekule_graph, kekule_valence, strict_stable_atoms


def stable_atoms(mol: Chem.Mol) -> np.ndarray:
    graph = kekule_graph(mol)
    return strict_stable_atoms(graph.z, graph.charge, kekule_valence(graph))


def stable(smiles: str) -> bool:
    return bool(stable_atoms(Chem.AddHs(Chem.MolFromSmiles(smiles))).all())


STABLE = (
    "C c1ccccc1 c1cc[nH]c1 [NH4+] [O-]C=O C[N+](C)(C)C [C-]#[O+] C[N-]C O=[N+]([O-])C CS(C)=O CS(=O)(=O)C OP(=O)(O)O "
    "FC(F)(F)F"
).split()
# Radicals, bare ions, carbenes, metals, and a radical anion.
UNSTABLE = "[CH3] [NH2] [H+] [Na+].[Cl-] [O-2] [CH2] [F-] [C+4] [Fe] [H] C1=C[C-]C=C1".split()


@pytest.mark.parametrize("smiles", STABLE)
def test_stable(smiles):
    assert stable(smiles)


@pytest.mark.parametrize("smiles", UNSTABLE)
def test_unstable(smiles):
    assert not stable(smiles)


def test_the_faults_of_the_legacy_table_are_gone():
    z, charge = np.array([6, 7, 7, 6]), np.array([0, 0, 1, 2])
    # Neutral C with 3, neutral N with 2, N+ with 2 or 3, an unknown charge falling back to the neutral row.
    assert not strict_stable_atoms(z, charge, np.array([3, 2, 3, 4])).any()


def test_aromatic_bonds_are_kekulised_not_truncated():
    mol = Chem.AddHs(Chem.MolFromSmiles("c1ccc2ccccc2c1"))
    assert sorted(set(kekule_valence(kekule_graph(mol)).tolist())) == [1, 4]
    assert set(kekule_valence(graph_of(mol))[:10].tolist()) == {-1}


def test_no_kekule_structure_and_odd_bonds():
    broken = Chem.MolFromSmiles("c1cccc1", sanitize=False)
    assert kekule_graph(broken) is None
    mol = Chem.RWMol(Chem.AddHs(Chem.MolFromSmiles("CC")))
    mol.GetBondWithIdx(0).SetBondType(Chem.BondType.DATIVE)
    assert not stable_atoms(mol)[:2].any()


def test_atom_order_changes_nothing(numpy_rng):
    mol = Chem.AddHs(Chem.MolFromSmiles("O=C1NC=CN1C"))
    shuffle = numpy_rng.permutation(mol.GetNumAtoms()).tolist()
    mol.GetAtomWithIdx(shuffle[0]).SetFormalCharge(1)
    assert (stable_atoms(mol)[shuffle] == stable_atoms(Chem.RenumberAtoms(mol, shuffle))).all()
