"""Two sets of clouds: are they drawn from one law? 1-nearest-neighbour accuracy, coverage, minimum matching distance.

All read one matrix of distances between the g generated and r reference clouds, generated ones first. 1-NNA is 50 % for
one law, towards 100 % for different laws, and below 50 % where the generated clouds copy reference ones.

1-NNA: Lopez-Paz and Oquab 2017, arXiv:1610.06545, for clouds Yang et al. 2019, arXiv:1906.12320. Coverage, MMD and JSD:
Achlioptas et al. 2018, arXiv:1707.02392.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scigen.metrics.stats import bootstrap, pooled_share_interval, wilson

__all__ = [
    "Estimate",
    "all_pairs",
    "coverage",
    "grid_cells",
    "halves",
    "jensen_shannon",
    "minimum_matching",
    "neighbour_accuracy",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval and the number of clouds it counts over."""

    value: float
    interval: tuple[float, float] | None
    n: int


def all_pairs(
    items: Sequence[T], distance: Callable[[T, T], float], progress: Callable[[int, int], None]
) -> np.ndarray:
    """The symmetric matrix `[n, n]` of a distance that is 0 between an item and itself; `progress(done, total)`."""
    n = len(items)
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            out[i, j] = out[j, i] = distance(items[i], items[j])
        progress((i + 1) * (2 * n - i) // 2, n * (n + 1) // 2)
    return out


def neighbour_accuracy(distance: np.ndarray, g: int) -> dict[str, Estimate]:
    """1-NNA from the symmetric `distance [g + r, g + r]`: the share of clouds whose nearest other is of their own set.

    `acc` over all clouds is "the" number; `acc_t` over the reference (true) and `acc_f` over the generated (fake) ones
    tell which set is the tighter. Two clouds that are each other's nearest are right or wrong together, so the pair is
    one trial of the interval: it comes out a quarter wider than the binomial one, as 1-NNA scatters. Raises
    `ValueError` unless both sets hold two clouds.
    """
    total = len(distance)
    if distance.shape != (total, total) or not 2 <= g <= total - 2:
        raise ValueError(f"1-NNA needs a square matrix and two clouds a set, got {list(distance.shape)} with g={g}.")
    own = np.arange(total)
    nearest = np.where(np.eye(total, dtype=bool), np.inf, distance).argmin(1)
    trial = np.where(nearest[nearest] == own, np.minimum(own, nearest), own)
    fake = own < g
    right = (fake[nearest] == fake).astype(np.float64)
    members = {"acc": np.ones(total), "acc_t": 1.0 - fake, "acc_f": 1.0 * fake}
    return {name: _accuracy(right, counted, trial) for name, counted in members.items()}


def coverage(distance: np.ndarray) -> Estimate:
    """COV from `distance [g, r]`: share of reference clouds that are the nearest to some generated one.

    High coverage says nothing of quality (noise covers too), and it grows with g / r: draws of one law with g = r reach
    1 - 1/e at most. The interval is the binomial one, about half too wide: a draw that covers one cloud covers no
    other, so they do not vary freely. Raises `ValueError` for an empty set.
    """
    g, r = distance.shape
    if not min(g, r):
        raise ValueError(f"coverage needs a cloud in each set, got {g} and {r}.")
    covered = len(np.unique(distance.argmin(1)))
    return Estimate(covered / r, wilson(covered, r), r)


def minimum_matching(distance: np.ndarray, seed: int = 0) -> Estimate:
    """MMD from `distance [g, r]`: mean over reference clouds of the distance to the nearest generated one.

    In the distance's unit; it falls as g grows, and compares only within one normalisation.
    """
    nearest = distance.min(0)
    return Estimate(float(nearest.mean()), bootstrap(nearest, np.mean, seed), len(nearest))


def halves(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint random halves of n indices; one is left out when n is odd."""
    order = rng.permutation(n)
    return order[: n // 2], order[n // 2 : 2 * (n // 2)]


def grid_cells(points: np.ndarray, low: np.ndarray, side: float, resolution: int = 28) -> np.ndarray:
    """Cell of each of `points [..., 3]` in the grid over the cube at `low [3]`; points outside count at its border."""
    at = np.clip(((points - low) / side * resolution).astype(np.int64), 0, resolution - 1)
    return (at[..., 0] * resolution + at[..., 1]) * resolution + at[..., 2]


def jensen_shannon(cells: np.ndarray, others: np.ndarray, resolution: int = 28) -> float:
    """JSD in bits between the occupations of two sets of cells: H((p + q) / 2) - (H(p) + H(q)) / 2, in [0, 1].

    It compares mean shapes only: a set of one average shape scores well.
    """
    p, q = (np.bincount(c.ravel(), minlength=resolution**3) / c.size for c in (cells, others))
    return _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2


def _accuracy(right: np.ndarray, counted: np.ndarray, trial: np.ndarray) -> Estimate:
    hits, sizes = (np.bincount(trial, weights) for weights in (right * counted, counted))
    kept = sizes > 0
    interval = pooled_share_interval(hits[kept], sizes[kept])
    return Estimate(float(hits.sum() / sizes.sum()), interval, int(sizes.sum()))


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
