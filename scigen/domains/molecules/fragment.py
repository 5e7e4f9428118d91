"""Fragments to grow: which atoms of a file stay, and where new bonds may form.

Missing hydrogens are first added by RDKit. Then some neighbours give way to what grows, each leaving a port: the atoms
asked for (a hydrogen itself, the hydrogens of a heavy atom), else the dummy atoms (`*`, `R#`), else the hydrogens that
were missing, else, in a complete fragment, every hydrogen. All other atoms stay and take no new bond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scigen.domains.molecules.bonds import RADII
from scigen.domains.molecules.codec import TOKENS, from_rdkit
from scigen.domains.molecules.data import Molecule
from scigen.errors import InputError, UsageError
from scigen.io.ctab import check_v2000, check_v3000
from scigen.io.lines import read_lines
from scigen.metrics.strict import VALENCES

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["Fragment", "read_fragment"]

DUMMIES = ("*", "R", "R#")
STRETCH = (0.6, 1.4)  # a bond's length over the sum of covalent radii


@dataclass(frozen=True)
class Fragment:
    """Atoms to keep, `molecule.pos` in Å in the frame of the file, and its ports.

    A port is a place where growth begins: `atom [P]` is the kept atom, `order [P]` the valence that is free there, and
    `way [P, 3]` the unit vector out of it.
    """

    molecule: Molecule
    atom: np.ndarray
    order: np.ndarray
    way: np.ndarray

    def __len__(self) -> int:
        return len(self.molecule.z)

    @property
    def open(self) -> np.ndarray:
        """The valence `[N]` of each atom that growth may fill."""
        return np.bincount(self.atom, self.order, len(self)).astype(np.int64)

    @property
    def fewest(self) -> int:
        """Atoms of the smallest molecule worth drawing: one new atom at every port."""
        return len(self) + len(self.atom)


def read_fragment(path: str | Path, grow_at: Sequence[int] = ()) -> Fragment:
    """The fragment in an SDF or mol file of one 3D record; `grow_at` names atoms by their number in it, from 1.

    Raises `InputError` for a file that cannot be used and `UsageError` for atoms that cannot grow.
    """
    mol = _parse(_one_block(path), path)
    try:
        drawn = _arrays(mol)
        _check(drawn)
        missing = _open_valence(drawn)
        whole = _arrays(_with_hydrogens(mol, missing)) if missing.any() else drawn
        return _opened(whole, _giving_way(whole, len(drawn.z), grow_at))
    except InputError as error:
        raise InputError(f"`{path}`: {error}") from None


def _one_block(path: str | Path) -> list[str]:
    """The mol block of a file that holds one record, its lines up to and with `M  END`."""
    lines = list(read_lines(path))
    end = next((i for i, line in enumerate(lines) if line.startswith("M  END")), None)
    if end is None or end < 4:
        raise InputError(f"`{path}` holds no whole mol block (3 lines, counts, atoms, bonds, `M  END`); give an SDF.")
    if any(line.startswith("M  END") for line in lines[end + 1 :]):
        raise InputError(f"`{path}` holds more than one record; give the one fragment to keep.")
    return lines[: end + 1]


def _parse(lines: list[str], path: str | Path) -> Mol:
    from rdkit import Chem, rdBase

    # The strict checks know elements only: they see carbon in the place of a dummy.
    known, v3000 = [*lines], "V3000" in lines[3]
    for i, line in enumerate(lines[4:], start=4):
        word = line.split()[3:4] if v3000 else [line[31:34].strip()]
        if word and word[0] in DUMMIES and (not v3000 or line.startswith("M  V30 ")):
            known[i] = line.replace(f" {word[0]} ", " C ", 1)
    try:
        counts = (check_v3000 if v3000 else check_v2000)(known, 1)
    except ValueError as error:
        raise InputError(f"`{path}`: {error}.") from None
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock("\n".join(lines) + "\n", sanitize=False, removeHs=False)
    if mol is None or (mol.GetNumAtoms(), mol.GetNumBonds()) != (counts.atoms, counts.bonds):
        raise InputError(f"`{path}`: RDKit cannot read the mol block; write it again with a current program.")
    if mol.GetNumConformers() != 1 or not mol.GetConformer().Is3D():
        raise InputError(f"`{path}` is flat; give 3D coordinates in Å, and `3D` in line 2 of a record truly planar.")
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(True)
        atom.SetNumRadicalElectrons(0)
    mol.UpdatePropertyCache(strict=False)
    return mol


def _arrays(mol: Mol) -> Molecule:
    """Kekulé arrays with coordinates in the file's own precision."""
    arrays = from_rdkit(mol)
    return Molecule(arrays.z, arrays.charge, mol.GetConformer().GetPositions(), arrays.bond)


def _check(whole: Molecule) -> None:
    """Elements and charges of the model's alphabet, bonds of a bond's length, no two atoms in one place."""
    for k, (z, charge) in enumerate(zip(whole.z.tolist(), whole.charge.tolist(), strict=True), start=1):
        if z and (z, charge) not in TOKENS:
            raise InputError(
                f"atom {k} has atomic number {z} and charge {charge:+d}; the model knows H C N O F with QM9's charges."
            )
    apart = np.linalg.norm(whole.pos[:, None] - whole.pos[None], axis=-1) + 9 * np.eye(len(whole.z))
    i, j = np.unravel_index(apart.argmin(), apart.shape)
    if apart[i, j] < 0.5:
        raise InputError(f"atoms {i + 1} and {j + 1} are {apart[i, j]:.2f} Å apart; give coordinates in Å.")
    for i, j, _ in whole.bond.tolist():
        if whole.z[i] and whole.z[j]:
            ratio = apart[i, j] / (RADII[int(whole.z[i])] + RADII[int(whole.z[j])])
            if not STRETCH[0] < ratio < STRETCH[1]:
                raise InputError(f"the bond {i + 1}-{j + 1} is {apart[i, j]:.2f} Å long; give coordinates in Å.")


def _open_valence(whole: Molecule) -> np.ndarray:
    """Valence of each atom that no bond uses (bonds to dummies are used), by rule `strict`; 0 for dummies."""
    used = _orders(whole).sum(1)
    valence = [VALENCES[z][q][0] if z else 0 for z, q in zip(whole.z.tolist(), whole.charge.tolist(), strict=True)]
    left = np.where(whole.z > 0, np.array(valence) - used, 0)
    if (left < 0).any():
        k = int(left.argmin())
        raise InputError(f"atom {k + 1} has bonds for {used[k]}, and its valence is {valence[k]}; mend the fragment.")
    return left


def _giving_way(whole: Molecule, drawn: int, grow_at: Sequence[int]) -> np.ndarray:
    """Which atoms `[N]` bool make room for growth; those from `drawn` on are the hydrogens that were missing."""
    bonded, dummy, hydrogen = _orders(whole) > 0, whole.z == 0, whole.z == 1
    if dummy.any():
        if grow_at:
            raise UsageError("The fragment marks its ports by dummy atoms; give those or --grow-at, not both.")
        if (bonded[dummy].sum(1) != 1).any() or bonded[np.ix_(dummy, dummy)].any():
            raise InputError("a dummy atom marks one port; bond it to one atom of the fragment.")
        return dummy
    if grow_at:
        return _asked(bonded, hydrogen, drawn, grow_at)
    if drawn < len(whole.z):
        return np.arange(len(whole.z)) >= drawn
    giving = hydrogen & (bonded @ ~hydrogen)
    if not giving.any():
        raise InputError("no valence is open and no hydrogen can give way, so nothing can grow.")
    return giving


def _asked(bonded: np.ndarray, hydrogen: np.ndarray, drawn: int, grow_at: Sequence[int]) -> np.ndarray:
    giving = np.zeros(len(hydrogen), bool)
    for number in grow_at:
        if not 1 <= number <= drawn:
            raise UsageError(f"--grow-at {number}: the fragment has atoms 1 to {drawn}.")
        own = bonded[number - 1] & hydrogen
        if hydrogen[number - 1]:
            giving[number - 1] = True
        elif own.any():
            giving |= own
        else:
            raise UsageError(
                f"--grow-at {number}: that atom has no hydrogen and no open valence; nothing can grow there."
            )
    return giving


def _with_hydrogens(mol: Mol, count: np.ndarray) -> Mol:
    """`count [N]` hydrogens added to the atoms, where RDKit puts them."""
    from rdkit import Chem, rdBase

    mol = Chem.Mol(mol)
    for atom, wanted in zip(mol.GetAtoms(), count.tolist(), strict=True):
        atom.SetNumExplicitHs(wanted)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(mol)
        except (Chem.MolSanitizeException, ValueError) as error:
            raise InputError(f"RDKit refuses the fragment ({str(error).strip()}).") from None
        return Chem.AddHs(mol, explicitOnly=True, addCoords=True)


def _opened(whole: Molecule, giving: np.ndarray) -> Fragment:
    """The fragment without the atoms that give way, and a port for each bond to one of them."""
    number = np.cumsum(~giving) - 1
    inner = [[number[i], number[j], order] for i, j, order in whole.bond.tolist() if not (giving[i] or giving[j])]
    if giving.all():
        raise InputError("no atom would be kept; name a fragment with a heavy atom.")
    kept = Molecule(
        whole.z[~giving], whole.charge[~giving], whole.pos[~giving], np.array(inner, np.uint8).reshape(-1, 3)
    )
    order = _orders(whole)
    ends = np.argwhere((order > 0) & ~giving[:, None] & giving[None, :])
    out = whole.pos[ends[:, 1]] - whole.pos[ends[:, 0]]
    way = out / np.linalg.norm(out, axis=1, keepdims=True)
    return Fragment(kept, number[ends[:, 0]], order[ends[:, 0], ends[:, 1]], way)


def _orders(whole: Molecule) -> np.ndarray:
    """Bond orders, `[N, N]`."""
    order = np.zeros((len(whole.z), len(whole.z)), np.int64)
    i, j, kind = whole.bond.astype(np.int64).T
    order[i, j] = order[j, i] = kind
    return order
