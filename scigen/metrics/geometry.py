"""Bond lengths and angles as histograms, and the Wasserstein distance between two of them.

    W1(p, q) = integral |CDF_p(x) - CDF_q(x)| dx,   averaged over classes with the reference's weights

Bond classes are the four bond types (single, double, triple, aromatic) weighted by their shares; angle classes are
central elements weighted by their shares of atoms with two neighbours or more. Bins are 0.01 Å and 0.1 degree.
Definition of MiDi (Vignac et al. 2023, arXiv:2302.09048), with lengths and angles read from explicit bonds and
aromaticity as RDKit sees it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from scigen.errors import InputError
from scigen.metrics.chem import Graph

__all__ = ["ANGLE", "BOND", "Layout", "angle_bins", "bond_bins", "central_elements", "histogram", "wasserstein"]


@dataclass(frozen=True)
class Layout:
    """Histograms of `classes` classes with `bins` bins of `width` (Å or degrees); a bin code is class * bins + bin."""

    classes: int
    bins: int
    width: float

    def codes(self, kind: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Bin codes of values `x [n]` of classes `kind [n]`; values beyond the last bin are counted in it."""
        return kind * self.bins + np.clip(np.rint(x / self.width), 0, self.bins - 1).astype(np.int64)


BOND = Layout(classes=4, bins=1001, width=0.01)  # single, double, triple, aromatic; 0 to 10 Å
ANGLE = Layout(classes=120, bins=1801, width=0.1)  # central atomic number; 0 to 180 degrees


def bond_bins(graph: Graph, pos: np.ndarray) -> np.ndarray:
    """Bin codes `[E]` under `BOND` of the bonds of a graph at `pos [N, 3]` in Å; bonds of other kinds are left out."""
    first, second, kind = graph.bonds[graph.bonds[:, 2] > 0].T
    return BOND.codes(kind - 1, np.linalg.norm(pos[first] - pos[second], axis=1))


def angle_bins(graph: Graph, pos: np.ndarray) -> np.ndarray:
    """Bin codes `[A]` under `ANGLE` of every pair of bonds that share an atom, at `pos [N, 3]` in Å."""
    near: dict[int, list[int]] = defaultdict(list)
    for i, j, _ in graph.bonds.tolist():
        near[i].append(j)
        near[j].append(i)
    rows = [(centre, *ends) for centre, others in near.items() for ends in combinations(others, 2)]
    centre, first, second = np.array(rows, np.int64).reshape(-1, 3).T
    a, b = pos[first] - pos[centre], pos[second] - pos[centre]
    # atan2 of |a x b| and a.b is exact near 0 and 180 degrees, where arccos loses half the digits.
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1)))
    return ANGLE.codes(np.minimum(graph.z[centre], ANGLE.classes - 1), angle)


def central_elements(graph: Graph) -> np.ndarray:
    """Atomic numbers of the atoms with two neighbours or more."""
    degree = np.bincount(graph.bonds[:, :2].ravel(), minlength=len(graph.z))
    return np.minimum(graph.z[degree >= 2], ANGLE.classes - 1)


def histogram(codes: np.ndarray, layout: Layout) -> np.ndarray:
    """Counts `[classes, bins]` of bin codes `[n]`."""
    return np.bincount(codes, minlength=layout.classes * layout.bins).reshape(layout.classes, layout.bins)


def wasserstein(counts: np.ndarray, reference: np.ndarray, weight: np.ndarray, width: float) -> float:
    """Weighted W1 between two sets of histograms `[classes, bins]`, in the unit of `width`.

    `weight [classes]` is the reference's share of each class; classes that `counts` lacks are left out and the
    weights renormalised, so a handful of molecules without a triple bond can still be scored. Raises `InputError`
    if no class is common to both.
    """
    common = (counts.sum(1) > 0) & (reference.sum(1) > 0) & (weight > 0)
    if not common.any():
        raise InputError(
            "No bond or angle class occurs in both the molecules and the reference; give bonded molecules."
        )
    p = np.cumsum(counts[common] / counts[common].sum(1, keepdims=True), axis=1)
    q = np.cumsum(reference[common] / reference[common].sum(1, keepdims=True), axis=1)
    return float(np.average(np.abs(p - q).sum(1) * width, weights=weight[common]))
