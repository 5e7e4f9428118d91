"""How far a geometry lies above its own energy minimum, in kcal/mol.

    strain = E(x) - E(x relaxed),   by MMFF94 (RDKit) or GFN2-xTB (tblite)

A strain is of one method: MMFF94 gives several kcal/mol on density-functional geometries that GFN2-xTB finds relaxed.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

from scigen.metrics.chem import sanitized, unpack
from scigen.metrics.gfn2 import descend

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = [
    "gfn2_available", "gfn2_minimum", "gfn2_packed", "gfn2_relaxation", "mmff_packed", "mmff_strain", "warm_gfn2",
    "warm_mmff",
]  # fmt: skip

_HARTREE = 627.5094740631  # kcal/mol
_STEPS = 5000


def mmff_strain(mol: Mol) -> float:
    """MMFF94 energy above the minimum reached from the given geometry, kcal/mol.   Halgren 1996, by RDKit.

    Raises `ValueError` when the molecule cannot be sanitised, lacks hydrogens or parameters, or does not converge.
    """
    from rdkit.Chem import rdForceFieldHelpers as helpers

    mol = _complete(mol)
    parameters = helpers.MMFFGetMoleculeProperties(mol)
    if parameters is None:
        raise ValueError("MMFF94 has no parameters for an atom of this molecule.")
    field = helpers.MMFFGetMoleculeForceField(mol, parameters)
    field.Initialize()
    start = field.CalcEnergy()
    if field.Minimize(maxIts=_STEPS) != 0:
        raise ValueError(f"MMFF94 did not converge in {_STEPS} steps.")
    return float(start - field.CalcEnergy())


def gfn2_relaxation(mol: Mol) -> float:
    """GFN2-xTB energy above the minimum reached from the given geometry, kcal/mol. Raises as `gfn2_minimum` does."""
    return gfn2_minimum(mol)[1]


def gfn2_minimum(mol: Mol) -> tuple[np.ndarray, float]:
    """The GFN2-xTB minimum reached by descent, `[N, 3]` Å, and how far the given geometry lies above it, kcal/mol.

    Closed shell, total charge from the formal charges. Raises `ValueError` as `mmff_strain` does, and when the
    electronic structure does not converge.
    """
    mol = _complete(mol)
    z = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    charge = sum(atom.GetFormalCharge() for atom in mol.GetAtoms())
    if (z.sum() - charge) % 2:
        raise ValueError("The molecule has an odd number of electrons.")
    bond = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()], np.int64).reshape(-1, 2)
    end = descend(z, charge, mol.GetConformer().GetPositions(), bond)
    if not end.converged:
        raise ValueError(f"GFN2-xTB relaxation did not converge in {end.evaluations} energies.")
    return end.pos, (end.start_energy - end.energy) * _HARTREE


def gfn2_available() -> bool:
    """Whether tblite is installed."""
    return importlib.util.find_spec("tblite") is not None


def mmff_packed(text: str) -> float:
    """`mmff_strain` of a packed molecule, for a worker process."""
    return mmff_strain(unpack(text))


def gfn2_packed(text: str) -> float:
    """`gfn2_relaxation` of a packed molecule, for a worker process."""
    return gfn2_relaxation(unpack(text))


def warm_mmff() -> None:
    """Import RDKit's force fields before any deadline runs."""
    import rdkit.Chem.rdForceFieldHelpers  # noqa: F401


def warm_gfn2() -> None:
    """Import tblite and scipy's optimiser before any deadline runs."""
    import scipy.optimize  # noqa: F401
    import tblite.interface  # noqa: F401


def _complete(mol: Mol) -> Mol:
    clean, reason = sanitized(mol)
    if clean is None:
        raise ValueError(reason)
    if not clean.GetNumConformers():
        raise ValueError("The molecule has no 3D coordinates.")
    if any(atom.GetTotalNumHs() for atom in clean.GetAtoms()):
        raise ValueError("The molecule lacks hydrogens; energies need every atom.")
    return clean
