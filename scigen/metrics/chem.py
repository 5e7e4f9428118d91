"""Molecules as chemistry software sees them: sanitisation, fragments, canonical SMILES, molecules built by a rule.

Everything here can hang or grow without bound on hostile bond graphs: run it through `scigen.deadline`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = [
    "AROMATIC", "Graph", "build", "canonical", "graph_of", "largest_fragment", "pack", "sanitized", "unpack",
    "without_hydrogens",
]  # fmt: skip

AROMATIC = 4  # bond kind of `Graph`, after single 1, double 2, triple 3; anything else is 0


@dataclass(frozen=True)
class Graph:
    """Atomic numbers `z [N]`, formal `charge [N]` and `bonds [E, 3]` as (atom, atom, kind) of a molecule."""

    z: np.ndarray
    charge: np.ndarray
    bonds: np.ndarray


def graph_of(mol: Mol) -> Graph:
    """The arrays of a molecule, in one pass over its atoms and bonds (each step of RDKit's iterators is dear)."""
    from rdkit.Chem import BondType

    kinds = {BondType.SINGLE: 1, BondType.DOUBLE: 2, BondType.TRIPLE: 3, BondType.AROMATIC: AROMATIC}
    atoms = [(atom.GetAtomicNum(), atom.GetFormalCharge()) for atom in mol.GetAtoms()]
    bonds = [
        (
            bond.GetBeginAtomIdx(),
            bond.GetEndAtomIdx(),
            AROMATIC if bond.GetIsAromatic() else kinds.get(bond.GetBondType(), 0),
        )
        for bond in mol.GetBonds()
    ]
    z, charge = np.array(atoms, np.int64).reshape(-1, 2).T
    return Graph(z, charge, np.array(bonds, np.int64).reshape(-1, 3))


def sanitized(mol: Mol) -> tuple[Mol | None, str]:
    """A sanitised copy, or None and the reason: RDKit's `SanitizeMol` with every check on."""
    from rdkit import Chem, rdBase

    copy = Chem.Mol(mol)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(copy)
        except (Chem.MolSanitizeException, ValueError, RuntimeError) as error:
            return None, str(error).strip().splitlines()[0]
    return copy, ""


def largest_fragment(mol: Mol) -> tuple[Mol, int]:
    """The fragment with the most atoms (hydrogens count, the first of equals wins) and how many fragments there are."""
    from rdkit import Chem

    fragments = Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False)
    if len(fragments) <= 1:
        return mol, len(fragments)
    return max(fragments, key=lambda fragment: fragment.GetNumAtoms()), len(fragments)


def without_hydrogens(mol: Mol) -> Mol:
    """A sanitised molecule with its hydrogen atoms folded into their neighbours."""
    from rdkit import Chem

    return Chem.RemoveHs(mol)


def canonical(mol: Mol) -> str:
    """Canonical SMILES of a sanitised molecule without stereo, isotopes and atom maps.

    Of `without_hydrogens(mol)` it is the identity used for uniqueness and novelty: two conformers, enantiomers or
    Kekulé forms are one molecule.
    """
    from rdkit import Chem

    if any(atom.GetAtomMapNum() for atom in mol.GetAtoms()):
        mol = Chem.Mol(mol)
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    return Chem.MolToSmiles(mol, isomericSmiles=False)


def build(z: np.ndarray, orders: np.ndarray) -> Mol:
    """A molecule from atomic numbers `[N]` and bond orders `[N, N]`, without charges; implicit hydrogens stay allowed.

    This is the molecule whose validity papers report under rule `edm` (arXiv:2203.17003): an under-valent atom passes.
    """
    from rdkit import Chem

    kinds = (Chem.BondType.ZERO, Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
    mol = Chem.RWMol()
    for number in np.asarray(z).tolist():
        mol.AddAtom(Chem.Atom(number))
    for i, j in np.argwhere(np.triu(orders, 1)).tolist():
        mol.AddBond(i, j, kinds[orders[i, j]])
    return mol.GetMol()


def pack(mol: Mol) -> str:
    """A molecule as text for another process: RDKit's binary form with float64 coordinates, base64."""
    from rdkit.Chem import PropertyPickleOptions

    return base64.b64encode(mol.ToBinary(int(PropertyPickleOptions.CoordsAsDouble))).decode("ascii")


def unpack(text: str) -> Mol:
    """The molecule of `pack`."""
    from rdkit import Chem

    return Chem.Mol(base64.b64decode(text))  # type: ignore[call-overload]  # RDKit's stubs say str, it takes bytes
