"""Bonds from coordinates: RDKit's perception, bounded in steps and in time.

Assigning bond orders can loop for ever on a hostile cloud of atoms, hence `maxIterations` and a process that can be
killed. Source: Kim and Kim 2015, doi:10.1002/bkcs.10334, as implemented in `rdDetermineBonds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds
from rdkit.Geometry import Point3D

__all__ = ["bare_molecule", "perceive", "perceive_frame", "set_bonds"]

# Atoms touch within this many sums of covalent radii. The first is RDKit's; small cages need less, or atoms across a
# ring count as neighbours and no valence fits.
_CONTACT = (1.3, 1.2, 1.15)
_MAX_ITERATIONS = 1000  # of the search over valences; real molecules need tens


def bare_molecule(numbers: Sequence[int], pos: Sequence[Sequence[float]]) -> Chem.Mol:
    """Atoms without bonds: atomic numbers [N] and coordinates [N, 3] in Å; no implicit hydrogens."""
    mol = Chem.RWMol()
    conformer = Chem.Conformer(len(numbers))
    for index, (number, (x, y, z)) in enumerate(zip(numbers, pos)):
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
        conformer.SetAtomPosition(index, Point3D(float(x), float(y), float(z)))
    conformer.Set3D(True)
    mol.AddConformer(conformer, assignId=True)
    return mol.GetMol()


def perceive(numbers: list[int], pos: list[list[float]], charge: int) -> dict[str, list[list[int]] | list[int]]:
    """Kekulé bonds [[i, j, order], ...] and formal charges [N] of a molecule with the total `charge`.

    Raises ValueError when no assignment satisfies every valence. Call it under a `Deadline`.
    """
    failure: ValueError | None = None
    for factor in _CONTACT:
        try:
            with rdBase.BlockLogs():
                mol = Chem.RWMol(bare_molecule(numbers, pos))
                rdDetermineBonds.DetermineBonds(
                    mol,
                    charge=charge,
                    covFactor=factor,
                    useVdw=True,
                    maxIterations=_MAX_ITERATIONS,
                    embedChiral=False,
                )
                Chem.Kekulize(mol, clearAromaticFlags=True)
            break
        except ValueError as error:
            failure = failure or error
    else:
        assert failure is not None
        raise failure
    bonds = [[b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble())] for b in mol.GetBonds()]
    return {"bonds": bonds, "charges": [atom.GetFormalCharge() for atom in mol.GetAtoms()]}


def perceive_frame(frame: Sequence[Any]) -> dict[str, list[list[int]] | list[int]]:
    """`perceive` of [numbers, pos, charge], the one JSON item of a call under a deadline."""
    return perceive(*frame)


def set_bonds(mol: Chem.Mol, bonds: Sequence[Sequence[int]], charges: Sequence[int]) -> Chem.Mol:
    """A copy of `mol` with the bonds [[i, j, order], ...] of order 1 to 3 and the formal charges [N]."""
    orders = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    out = Chem.RWMol(mol)
    for i, j, order in bonds:
        out.AddBond(i, j, orders[order])
    for atom, charge in zip(out.GetAtoms(), charges):
        atom.SetFormalCharge(charge)
    return out.GetMol()
