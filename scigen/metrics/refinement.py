"""How far a geometry lies from the reference geometry of the same molecule, atom by atom and in internal coordinates.

RMSDs are of atoms in their given order (no symmetry of the graph is searched) after the best rotation and shift, never
a reflection: the mirror image of a chiral molecule is another molecule. Lengths, angles and torsions need no alignment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from itertools import combinations

import numpy as np

from scigen.metrics.stats import bootstrap
from scigen.metrics.superpose import rmsd, superpose

__all__ = [
    "NAMES", "Errors", "Internals", "Summary", "angles", "average", "best", "geometry_errors", "internals", "lengths",
    "summary", "torsions", "turns",
]  # fmt: skip

_STRAIGHT = 5.0  # degrees from 0 or 180 within which a torsion across an angle means nothing


@dataclass(frozen=True)
class Internals:
    """Atoms of every bond `[E, 2]`, angle `[A, 3]` (the centre second) and torsion `[T, 4]` (along three bonds)."""

    bonds: np.ndarray
    angles: np.ndarray
    torsions: np.ndarray


@dataclass(frozen=True)
class Errors:
    """One molecule's distances from its reference; NaN where there is nothing to compare (no heavy atom, no torsion).

    `rmsd` and `heavy_rmsd` in Å, each after its own superposition; mean absolute errors of bond lengths `bond` in Å, of
    angles `angle` and torsions `torsion` in degrees.
    """

    rmsd: float
    heavy_rmsd: float
    bond: float
    angle: float
    torsion: float


NAMES = tuple(f.name for f in fields(Errors))


@dataclass(frozen=True)
class Summary:
    """Over molecules: the mean with its 95 % interval, and `worst`, the value that the worst 1 % exceed."""

    mean: float
    interval: tuple[float, float] | None
    worst: float
    n: int


def internals(bond: np.ndarray) -> Internals:
    """The internal coordinates of a graph of bonds `[E, 2 or more]` (atom, atom, ...)."""
    near: dict[int, list[int]] = defaultdict(list)
    pairs = [(int(i), int(j)) for i, j, *_ in bond]
    for i, j in pairs:
        near[i].append(j)
        near[j].append(i)
    bent = [(a, centre, b) for centre, others in near.items() for a, b in combinations(others, 2)]
    twisted = [
        (a, i, j, b) for i, j in pairs for a in near[i] for b in near[j] if a != j and b != i and a != b
    ]  # a == b closes a ring of three, which has no torsion
    return Internals(*(np.array(rows, np.int64).reshape(-1, k) for k, rows in ((2, pairs), (3, bent), (4, twisted))))


def lengths(pos: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """|x_i - x_j| of atom pairs `rows [E, 2]` at `pos [N, 3]`."""
    i, j = rows.T
    return np.linalg.norm(pos[i] - pos[j], axis=-1)


def angles(pos: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Angles at the middle atoms of `rows [A, 3]`, degrees in [0, 180]; exact near both ends."""
    i, j, k = rows.T
    a, b = pos[i] - pos[j], pos[k] - pos[j]
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def torsions(pos: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Torsions of `rows [T, 4]` about their middle bond, degrees in [-180, 180]; 0 is cis, the sign is IUPAC's."""
    i, j, k, m = rows.T
    first, axis, last = pos[j] - pos[i], pos[k] - pos[j], pos[m] - pos[k]
    a, b = np.cross(first, axis), np.cross(axis, last)
    return np.degrees(np.arctan2((np.linalg.norm(axis, axis=-1)[:, None] * first * b).sum(-1), (a * b).sum(-1)))


def turns(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """|difference| on the circle, 0 to 180 degrees, of the torsions `rows [T, 4]` that both geometries define."""
    defined = np.ones(len(rows), bool)
    for pos in (x, y):
        for part in (rows[:, :3], rows[:, 1:]):
            bend = angles(pos, part)
            defined &= (bend > _STRAIGHT) & (bend < 180 - _STRAIGHT)
    turn = torsions(x, rows[defined]) - torsions(y, rows[defined])
    return np.abs((turn + 180) % 360 - 180)


def geometry_errors(pos: np.ndarray, reference: np.ndarray, z: np.ndarray, graph: Internals) -> Errors:
    """Errors of `pos [N, 3]` against `reference [N, 3]` (Å) of atomic numbers `z [N]`, in one order of atoms.

    A torsion across an angle within 5 degrees of straight, in either geometry, is left out.
    """
    x, y, heavy = pos.astype(np.float64), reference.astype(np.float64), z > 1
    return Errors(
        rmsd(superpose(x, y), y),
        rmsd(superpose(x[heavy], y[heavy]), y[heavy]) if heavy.any() else np.nan,
        _mean(np.abs(lengths(x, graph.bonds) - lengths(y, graph.bonds))),
        _mean(np.abs(angles(x, graph.angles) - angles(y, graph.angles))),
        _mean(turns(x, y, graph.torsions)),
    )


def average(draws: Sequence[Errors]) -> Errors:
    """The mean of every error over several geometries of one molecule; NaN where one of them has none."""
    return Errors(*np.mean([astuple(e) for e in draws], axis=0).tolist())


def best(draws: Sequence[Errors]) -> Errors:
    """All errors of the one draw whose RMSD is least: what a user who knew the reference would pick."""
    return min(draws, key=lambda e: e.rmsd)


def summary(errors: Sequence[Errors], seed: int = 0) -> dict[str, Summary]:
    """Each error by name over molecules; molecules that lack one (NaN) are left out of it, and a name none has too."""
    table = np.array([astuple(e) for e in errors], np.float64).reshape(-1, len(NAMES))
    out = {}
    for name, column in zip(NAMES, table.T, strict=True):
        x = column[~np.isnan(column)]
        if len(x):
            worst = float(np.percentile(x, 99))
            out[name] = Summary(float(x.mean()), bootstrap(x, np.mean, seed), worst, len(x))
    return out


def _mean(x: np.ndarray) -> float:
    return float(x.mean()) if len(x) else float("nan")
