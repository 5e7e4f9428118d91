"""Scores read off nearest distances between two clouds: Chamfer's, the F-score, density-aware Chamfer, Hausdorff's.

With a_i = distance from point i of the generated cloud to the nearest of the reference, and b_j the other way:

    chamfer_l1   (mean a + mean b) / 2        PoinTr's CD-L1, printed there times 1000
    chamfer_l2   mean a^2 + mean b^2          "CD" of PointFlow, PVD, LION, DPM; PoinTr's CD-L2, times 1000
    chamfer_sum  mean a + mean b              of point-cloud-utils

All are in the units of the clouds (chamfer_l2 in their square): say which normalisation they stand in. Two clouds of
one surface do not score 0; `scigen.metrics.floor` tells what they score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

__all__ = [
    "Indexed",
    "Matches",
    "chamfer_l1",
    "chamfer_l2",
    "chamfer_sum",
    "density_aware",
    "directed_hausdorff",
    "f_score",
    "indexed",
    "match",
]


@dataclass(frozen=True)
class Indexed:
    """A cloud `[N, 3]` with its k-d tree, built once for all its comparisons."""

    points: np.ndarray
    tree: cKDTree


@dataclass(frozen=True)
class Matches:
    """Nearest distances `a [N]`, `b [M]` and indices `a_index [N]`, `b_index [M]` into the other cloud."""

    a: np.ndarray
    b: np.ndarray
    a_index: np.ndarray
    b_index: np.ndarray


def indexed(points: np.ndarray) -> Indexed:
    """The cloud with its tree, points in the tree's order: neighbours in a row are found faster.

    Raises `ValueError` unless `points` is `[N, 3]`, N >= 1, and finite.
    """
    from scipy.spatial import cKDTree

    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"`points` must be [N, 3] with N >= 1, got {list(points.shape)}.")
    points = points[cKDTree(points, leafsize=32).indices]
    return Indexed(points, cKDTree(points, leafsize=32))


def match(gen: Indexed, ref: Indexed) -> Matches:
    """Nearest neighbours both ways; indices follow the order of `Indexed.points`."""
    a, a_index = ref.tree.query(gen.points)
    b, b_index = gen.tree.query(ref.points)
    return Matches(a, b, a_index, b_index)


def chamfer_l1(m: Matches) -> float:
    """(mean a + mean b) / 2, a length. PoinTr prints it times 1000 (arXiv:2108.08839)."""
    return float(m.a.mean() + m.b.mean()) / 2


def chamfer_l2(m: Matches) -> float:
    """mean a^2 + mean b^2, a length squared: the CD of PointFlow and after (arXiv:1906.12320)."""
    return float(np.square(m.a).mean() + np.square(m.b).mean())


def chamfer_sum(m: Matches) -> float:
    """mean a + mean b, a length: twice `chamfer_l1`, as point-cloud-utils defines it."""
    return 2 * chamfer_l1(m)


def f_score(m: Matches, tau: float) -> float:
    """2 P R / (P + R), P = share of a < tau, R = share of b < tau; 0 when both are 0. arXiv:1905.03678.

    The threshold is in the units of the clouds and decides the score: from .010 to .011 it rises by .04 to .05.
    """
    precision, recall = float((m.a < tau).mean()), float((m.b < tau).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def density_aware(m: Matches, alpha: float = 1000.0) -> float:
    """DCD = 1/2 sum over both ways of mean_i (1 - exp(-alpha d_i^2) / n_i), in [0, 1].

    n_i counts the points that share i's nearest neighbour. `alpha` belongs to shapes of size about 1. arXiv:2111.12702.
    """
    there = _unshared(m.a, m.a_index, len(m.b), alpha)
    return (there + _unshared(m.b, m.b_index, len(m.a), alpha)) / 2


def directed_hausdorff(source: np.ndarray, target: Indexed) -> float:
    """max over `source [N, 3]` of the distance to `target`: UHD when source is the partial cloud (arXiv:2003.07717)."""
    return float(target.tree.query(np.asarray(source, np.float64))[0].max())


def _unshared(distance: np.ndarray, index: np.ndarray, n: int, alpha: float) -> float:
    hits = np.bincount(index, minlength=n)[index]
    return float((1 - np.exp(-alpha * np.square(distance)) / hits).mean())
