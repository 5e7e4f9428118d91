"""Molecules as a `State`: coordinates in units of `SCALE` Å, one token for element and charge, a Kekulé bond matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scigen.domains.molecules.data import Molecule
from scigen.errors import InputError
from scigen.state import State, center, mirror

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["BOND_ORDERS", "SCALE", "TOKENS", "decode", "encode", "from_rdkit", "project", "to_rdkit"]

# Standard deviation of a centred QM9 coordinate in Å: the network sees unit variance.
SCALE = 1.40
# (atomic number, formal charge) of every atom kind in QM9. One token for both leaves no way to contradict oneself.
TOKENS = ((1, 0), (6, 0), (7, 0), (8, 0), (9, 0), (7, 1), (8, -1), (6, -1), (7, -1))
BOND_ORDERS = 4  # none, single, double, triple
_TOKEN_OF = {pair: k for k, pair in enumerate(TOKENS)}


def project(x: State) -> State:
    """Zero centre of mass, symmetric bonds without a diagonal, zeros on padding."""
    pair = x.mask[:, :, None] & x.mask[:, None, :]
    return x.replace(pos=center(x["pos"], x.mask), atom=x["atom"] * x.mask, bond=mirror(x["bond"]) * pair)


def encode(molecules: Sequence[Molecule], pad_to: int | None = None) -> State:
    """Batch of molecules: `pos [B, N, 3]` float32, `atom [B, N]` and `bond [B, N, N]` int64, `mask [B, N]`.

    Raises `InputError` for an element or charge outside `TOKENS`.
    """
    n = pad_to or max(len(m.z) for m in molecules)
    pos = np.zeros((len(molecules), n, 3), np.float32)
    atom = np.zeros((len(molecules), n), np.int64)
    bond = np.zeros((len(molecules), n, n), np.int64)
    mask = np.zeros((len(molecules), n), bool)
    for k, m in enumerate(molecules):
        size = len(m.z)
        pos[k, :size] = (m.pos - m.pos.mean(0)) / SCALE
        atom[k, :size] = [_token(z, q) for z, q in zip(m.z.tolist(), m.charge.tolist(), strict=True)]
        mask[k, :size] = True
        i, j, order = m.bond.astype(np.int64).T
        bond[k, i, j] = bond[k, j, i] = order
    fields = {"pos": torch.from_numpy(pos), "atom": torch.from_numpy(atom), "bond": torch.from_numpy(bond)}
    return State(fields, torch.from_numpy(mask))


def decode(belief: Mapping[str, Tensor], mask: Tensor) -> list[Molecule]:
    """Molecules from the belief about x0: mean coordinates, most probable tokens and bonds."""
    table = np.array(TOKENS)
    pos = belief["pos"].float().cpu().numpy() * SCALE
    atom = belief["atom"].argmax(-1).cpu().numpy()
    bond = belief["bond"].argmax(-1).cpu().numpy()
    out = []
    for k, real in enumerate(mask.cpu().numpy()):
        size = int(real.sum())
        z, charge = table[atom[k, :size]].T
        i, j = np.nonzero(np.triu(bond[k, :size, :size], 1))
        listed = np.stack([i, j, bond[k, i, j]], axis=1).astype(np.uint8)
        out.append(Molecule(z.astype(np.uint8), charge.astype(np.int8), pos[k, :size], listed))
    return out


def _token(z: int, charge: int) -> int:
    try:
        return _TOKEN_OF[z, charge]
    except KeyError:
        raise InputError(
            f"Atomic number {z} with charge {charge:+d} is outside the model's alphabet (H C N O F with QM9's charges)."
        ) from None


def to_rdkit(molecule: Molecule) -> Mol:
    """An RDKit molecule with explicit hydrogens, Kekulé bonds, charges and one conformer in Å; not sanitised."""
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    mol = Chem.RWMol()
    for z, charge in zip(molecule.z.tolist(), molecule.charge.tolist(), strict=True):
        atom = Chem.Atom(z)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    kinds = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    for i, j, order in molecule.bond.tolist():
        mol.AddBond(i, j, kinds[order])
    conformer = Chem.Conformer(len(molecule.z))
    for k, xyz in enumerate(molecule.pos.tolist()):
        conformer.SetAtomPosition(k, Point3D(*xyz))
    mol.AddConformer(conformer)
    return mol.GetMol()


def from_rdkit(mol: Mol) -> Molecule:
    """Arrays of an RDKit molecule with explicit hydrogens and a conformer; aromatic bonds are kekulised.

    Raises `InputError` without a conformer, with implicit hydrogens, or with bonds that cannot be kekulised.
    """
    from rdkit import Chem

    if mol.GetNumConformers() == 0:
        raise InputError("The molecule has no 3D coordinates; embed it first.")
    if any(a.GetTotalNumHs() for a in mol.GetAtoms()):
        raise InputError("The molecule has implicit hydrogens; add them with coordinates first.")
    mol = Chem.Mol(mol)
    try:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    except Chem.KekulizeException as error:
        raise InputError(f"The molecule cannot be kekulised ({error}).") from None
    orders = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}
    if unknown := [b.GetBondType().name for b in mol.GetBonds() if b.GetBondType() not in orders]:
        raise InputError(f"Bond type {unknown[0]} is not single, double, triple or aromatic.")
    rows = [(*sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())), orders[b.GetBondType()]) for b in mol.GetBonds()]
    return Molecule(
        np.array([a.GetAtomicNum() for a in mol.GetAtoms()], np.uint8),
        np.array([a.GetFormalCharge() for a in mol.GetAtoms()], np.int8),
        mol.GetConformer().GetPositions().astype(np.float32),
        np.array(sorted(rows), np.uint8).reshape(-1, 3),
    )
