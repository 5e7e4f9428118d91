"""The sampling floor: what two independent samplings of one and the same surface score against each other.

For n points uniform on an area A (a Poisson process, distances small beside the curvature) the number of points within
d has mean n pi d^2 / A, hence for the nearest distance

    P(d < tau) = 1 - exp(-n pi tau^2 / A)      E d = sqrt(A / n) / 2      E d^2 = A / (pi n)

No method scores better at that resolution but by luck or by copying the points.
"""

from __future__ import annotations

import math

import numpy as np

from scigen.metrics.chamfer import Indexed, Matches

__all__ = ["chamfer_l1_floor", "chamfer_l2_floor", "f_score_floor", "twin"]


def chamfer_l1_floor(area: float, n: int, m: int | None = None) -> float:
    """(sqrt(A / n) + sqrt(A / m)) / 4, a length, for n points against m (n by default); times 1000, 500 sqrt(A / n)."""
    return (math.sqrt(area / _count(n)) + math.sqrt(area / _count(m or n))) / 4


def chamfer_l2_floor(area: float, n: int, m: int | None = None) -> float:
    """A / (pi n) + A / (pi m), a length squared."""
    return area / math.pi * (1 / _count(n) + 1 / _count(m or n))


def f_score_floor(area: float, n: int, tau: float, m: int | None = None) -> float:
    """Harmonic mean of 1 - exp(-m pi tau^2 / A) and the same with n."""
    precision, recall = (-math.expm1(-_count(k) * math.pi * tau**2 / area) for k in (m or n, n))
    return 2 * precision * recall / (precision + recall)


def twin(cloud: Indexed) -> Matches:
    """The floor by simulation where only one cloud exists: each point against all the others.

    Leaving a point out, the n - 1 others are an independent sampling to it, so means over `a` (and `b`, the same) are
    the floor's for n points drawn uniformly. Clouds spread evenly (farthest points, Poisson disks) are farther apart
    than uniform draws, and their floor reads up to a third too high. Raises `ValueError` for fewer than two points.
    """
    if len(cloud.points) < 2:
        raise ValueError("the floor needs a cloud of at least 2 points, got 1.")
    distance, index = cloud.tree.query(cloud.points, k=[1, 2])
    # A point is its own first neighbour, unless a copy of it comes first; the distance is 0 all the same.
    own = index[:, 0] == np.arange(len(index))
    other = np.where(own, index[:, 1], index[:, 0])
    return Matches(distance[:, 1], distance[:, 1], other, other)


def _count(n: int) -> int:
    if n < 1:
        raise ValueError(f"the floor needs at least one point, got {n}.")
    return n
