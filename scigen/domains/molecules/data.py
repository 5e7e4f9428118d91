"""Molecule sets: packed arrays of geometries, Kekulé bonds and properties, cached outside the repository.

One file per set (`<cache>/qm9.npz`). Atoms and bonds of all molecules lie end to end; molecule k owns
`z[atom_start[k]:atom_start[k+1]]` and `bond[bond_start[k]:bond_start[k+1]]`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from scigen.cache import cache_dir
from scigen.errors import InputError
from scigen.io.npz import read_npz

__all__ = [
    "PROPERTIES", "SPLITS", "Molecule", "MoleculeSet", "fixture_path", "load", "load_fixture", "load_qm9",
    "ranges",
]  # fmt: skip

# Columns of QM9 in the order of `MoleculeSet.prop`: GHz, Debye, Bohr^3, Hartree, Bohr^2, cal/(mol K).
PROPERTIES = ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv")
SPLITS = ("train", "valid", "test")
MAX_ORDER = 3  # Kekulé bonds: single, double, triple


@dataclass(frozen=True)
class Molecule:
    """One molecule: `z [N]` atomic numbers, formal `charge [N]`, `pos [N, 3]` Å, `bond [E, 3]` as (i, j, order)."""

    z: np.ndarray
    charge: np.ndarray
    pos: np.ndarray
    bond: np.ndarray


@dataclass(frozen=True)
class MoleculeSet:
    """M molecules end to end; `split [M]` indexes `SPLITS`, `prop [M, 15]` follows `PROPERTIES`."""

    z: np.ndarray  # [A] uint8
    charge: np.ndarray  # [A] int8
    pos: np.ndarray  # [A, 3] float32, Å
    bond: np.ndarray  # [E, 3] uint8: atom, atom, order within the molecule
    atom_start: np.ndarray  # [M + 1] int64
    bond_start: np.ndarray  # [M + 1] int64
    index: np.ndarray  # [M] int32, number in the source
    split: np.ndarray  # [M] uint8
    prop: np.ndarray  # [M, P] float64
    smiles: np.ndarray  # [M] bytes, as published

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, k: int) -> Molecule:
        a, b = slice(*self.atom_start[k : k + 2]), slice(*self.bond_start[k : k + 2])
        return Molecule(self.z[a], self.charge[a], self.pos[a], self.bond[b])

    def sizes(self) -> np.ndarray:
        """Atoms per molecule, `[M]`."""
        return np.diff(self.atom_start)

    def where(self, split: str) -> np.ndarray:
        """Positions of the molecules of one split, ascending."""
        if split not in SPLITS:
            raise InputError(f"Unknown split '{split}'; choose one of {', '.join(SPLITS)}.")
        return np.flatnonzero(self.split == SPLITS.index(split))

    def subset(self, rows: np.ndarray) -> MoleculeSet:
        """The molecules at `rows`, in that order."""
        atoms = ranges(self.atom_start, rows)
        bonds = ranges(self.bond_start, rows)
        return MoleculeSet(
            self.z[atoms], self.charge[atoms], self.pos[atoms], self.bond[bonds],
            _starts(self.sizes()[rows]), _starts(np.diff(self.bond_start)[rows]),
            self.index[rows], self.split[rows], self.prop[rows], self.smiles[rows],
        )  # fmt: skip

    def content_hash(self) -> str:
        """SHA-256 over every array in field order: the identity of the data, whatever the file around it."""
        digest = hashlib.sha256()
        for field in fields(self):
            digest.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return digest.hexdigest()


def fixture_path() -> Path:
    """The few hundred QM9 molecules that travel with the repository for tests."""
    return Path(__file__).resolve().parents[3] / "data" / "qm9_fixture.npz"


def load(path: Path) -> MoleculeSet:
    """Read a packed set; raises `InputError` when the file is missing or is not one."""
    if not path.is_file():
        raise InputError(f"No molecule set at '{path}'; build it with `scigen data prepare {path.stem}`.")
    try:
        arrays = read_npz(path)
        molecules = MoleculeSet(**{f.name: arrays[f.name] for f in fields(MoleculeSet)})
    except KeyError as error:
        raise InputError(_refusal(path, f"the array {error} is missing")) from None
    except InputError as error:
        raise InputError(_refusal(path, str(error).rstrip("."))) from None
    if not _fits(molecules):
        raise InputError(_refusal(path, "its arrays do not fit together"))
    return molecules


def load_qm9() -> MoleculeSet:
    """QM9 from the cache, 130,831 molecules with EDM's 100,000 / 17,748 / 13,083 split."""
    return load(cache_dir() / "qm9.npz")


def load_fixture() -> MoleculeSet:
    """The fixture in the repository's `data/`."""
    return load(fixture_path())


def _refusal(path: Path, why: str) -> str:
    return f"'{path}' is not a molecule set ({why}); rebuild it with `scigen data prepare`."


def _fits(m: MoleculeSet) -> bool:
    """Every molecule lies within the arrays, and every bond within its molecule."""
    per_molecule = (m.index, m.split, m.prop, m.smiles)
    starts = ((m.atom_start, (m.z, m.charge, m.pos)), (m.bond_start, (m.bond,)))
    if any(x.ndim != 1 or len(x) != len(m) + 1 or x[0] or (np.diff(x) < 0).any() for x, _ in starts):
        return False
    if any(len(array) != start[-1] for start, arrays in starts for array in arrays):
        return False
    if any(len(array) != len(m) for array in per_molecule) or m.pos.shape[1:] != (3,) or m.bond.shape[1:] != (3,):
        return False
    limit = np.repeat(m.sizes(), np.diff(m.bond_start))
    return bool((m.bond[:, :2] < limit[:, None]).all() and (m.bond[:, 2] <= MAX_ORDER).all() and (m.split < 3).all())


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def ranges(start: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The ranges start[k] .. start[k + 1] of the given rows k, end to end."""
    counts = np.diff(start)[rows]
    offsets = np.repeat(start[rows] - _starts(counts)[:-1], counts)
    return offsets + np.arange(counts.sum())
