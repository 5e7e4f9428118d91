"""Molecules as chemistry software sees them: sanitisation, fragments, canonical SMILES, molecules built by a rule.

Everything here can hang or grow without bound on hostile bond graphs: run it through `scigen.metrics.deadline`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["build", "canonical", "largest_fragment", "pack", "sanitized", "unpack"]


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


def canonical(mol: Mol, keep_hydrogens: bool = False) -> str:
    """Canonical SMILES without stereo, isotopes and atom maps; hydrogens are folded into their atoms unless kept.

    The identity used for uniqueness and novelty: two conformers, enantiomers or Kekulé forms are one molecule.
    """
    from rdkit import Chem

    if not keep_hydrogens:
        mol = Chem.RemoveHs(mol)
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
