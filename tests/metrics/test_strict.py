"""Rule `strict`: every case that the tables in use get wrong."""

import numpy as np
import pytest
from rdkit import Chem

from scigen.metrics.strict import kekule_arrays, strict_stable_atoms


def stable(smiles: str) -> bool:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    return bool(strict_stable_atoms(*kekule_arrays(mol)).all())


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
    _, _, valence = kekule_arrays(mol)
    assert sorted(set(valence.tolist())) == [1, 4]


def test_no_kekule_structure_and_odd_bonds():
    broken = Chem.MolFromSmiles("c1cccc1", sanitize=False)
    assert kekule_arrays(broken) is None
    mol = Chem.RWMol(Chem.AddHs(Chem.MolFromSmiles("CC")))
    mol.GetBondWithIdx(0).SetBondType(Chem.BondType.DATIVE)
    assert not strict_stable_atoms(*kekule_arrays(mol))[:2].any()


def test_atom_order_changes_nothing(numpy_rng):
    mol = Chem.AddHs(Chem.MolFromSmiles("O=C1NC=CN1C"))
    shuffle = numpy_rng.permutation(mol.GetNumAtoms()).tolist()
    first, second = kekule_arrays(mol), kekule_arrays(Chem.RenumberAtoms(mol, shuffle))
    assert (strict_stable_atoms(*first)[shuffle] == strict_stable_atoms(*second)).all()
