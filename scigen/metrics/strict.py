"""Rule `strict`: stability from explicit bonds and formal charges, with no fallback.

An atom is stable when the orders of its Kekulé bonds (1, 2, 3) sum to a valence its element has at its formal
charge. Any other charge is unstable; so are bare ions and radicals, since no charge allows a missing bond. Unlike
the tables in use, carbon with three bonds or nitrogen with two never pass as neutral, and an aromatic bond is never
counted as 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["STRICT_VERSION", "VALENCES", "kekule_arrays", "strict_stable_atoms"]

STRICT_VERSION = 1  # raise it with any change to the table: scores are comparable within one version only

# Allowed valences by atomic number and formal charge. H C N O F is the whole of QM9; the rest serves drug-like sets.
VALENCES: dict[int, dict[int, tuple[int, ...]]] = {
    1: {0: (1,)},
    5: {0: (3,), -1: (4,)},
    6: {0: (4,), 1: (3,), -1: (3,)},
    7: {0: (3,), 1: (4,), -1: (2,)},
    8: {0: (2,), 1: (3,), -1: (1,)},
    9: {0: (1,)},
    13: {0: (3,)},
    14: {0: (4,)},
    15: {0: (3, 5), 1: (4,)},
    16: {0: (2, 4, 6), 1: (3,), -1: (1,)},
    17: {0: (1,)},
    33: {0: (3, 5)},
    34: {0: (2, 4, 6)},
    35: {0: (1,)},
    53: {0: (1,)},
    83: {0: (3,)},
}


def strict_stable_atoms(z: np.ndarray, charge: np.ndarray, valence: np.ndarray) -> np.ndarray:
    """Which atoms `[N]` bool are stable, from atomic numbers, formal charges and summed Kekulé orders, each `[N]`."""
    triples = zip(np.asarray(z).tolist(), np.asarray(charge).tolist(), np.asarray(valence).tolist(), strict=True)
    return np.array([v in VALENCES.get(a, {}).get(q, ()) for a, q, v in triples], dtype=bool)


def kekule_arrays(mol: Mol) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Atomic numbers, formal charges and summed bond orders `[N]` of a molecule; None when it has no Kekulé structure.

    Only bonds to explicit atoms count: hydrogens must be atoms. A dative, zero-order or other bond makes its atoms'
    sums -1, which no valence equals.
    """
    from rdkit import Chem

    if any(bond.GetIsAromatic() for bond in mol.GetBonds()):
        mol = Chem.Mol(mol)
        try:
            Chem.Kekulize(mol, clearAromaticFlags=True)
        except Chem.MolSanitizeException:
            return None
    orders = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}
    valence = np.zeros(mol.GetNumAtoms(), np.int64)
    odd = []
    for bond in mol.GetBonds():
        ends = [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]
        order = orders.get(bond.GetBondType())
        if order is None:
            odd += ends
        else:
            valence[ends] += order
    valence[odd] = -1
    z = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.int64)
    charge = np.array([atom.GetFormalCharge() for atom in mol.GetAtoms()], np.int64)
    return z, charge, valence
