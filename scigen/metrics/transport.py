"""Earth mover's distance between clouds of equal size, by exact assignment.

    EMD@n = min over permutations p of (1/n) sum_i |a_i - b_p(i)|

The mean distance matched, in the units of the clouds. Approximate kernels (auction, approxmatch, Sinkhorn) give other
values, and so does another n: say both beside a figure. 512 points take about 10 ms, 2048 half a second.
"""

from __future__ import annotations

import numpy as np

__all__ = ["assignment", "emd", "random_subset"]

_WORTH = 200  # points from which the rounds cost less than they save
_ROUNDS = 30
_TINY = np.float32(1e-30)


def emd(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance matched between `a [n, 3]` and `b [n, 3]`. Raises `ValueError` for unequal sizes or NaN."""
    from scipy.spatial.distance import cdist

    if len(a) != len(b) or not len(a):
        raise ValueError(f"exact assignment needs clouds of equal size, got {len(a)} and {len(b)}; draw subsets first.")
    cost = cdist(a, b)
    return float(cost[np.arange(len(a)), assignment(cost)].mean())


def assignment(cost: np.ndarray) -> np.ndarray:
    """The column of each row in the cheapest perfect matching of `cost [n, n]`, exact. Raises `ValueError` for NaN.

    A constant taken off a column changes no matching's rank, and the shortest-path solver ends sooner the closer its
    start is to the dual optimum: a few of Sinkhorn's rounds halve the time and leave the result. Crouse 2016 (SciPy).
    """
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(_relieved(cost) if len(cost) >= _WORTH else cost)[1]


def random_subset(points: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n of the points `[N, 3]`, uniformly without replacement; all of them when N = n. Raises `ValueError` if N < n."""
    if len(points) < n:
        raise ValueError(f"{n} points are asked of a cloud of {len(points)}; ask for fewer.")
    return points if len(points) == n else points[rng.permutation(len(points))[:n]]


def _relieved(cost: np.ndarray) -> np.ndarray:
    """`cost` less approximate potentials of rows and columns."""
    low = cost.min(1, keepdims=True)
    blur = float((cost - low).mean()) / 32
    if not blur > 0:
        return cost
    kernel = np.exp((low - cost) / blur, dtype=np.float32, casting="same_kind")
    column = np.ones(len(cost), np.float32)
    for _ in range(_ROUNDS):
        row = 1 / np.maximum(kernel @ column, _TINY)
        column = 1 / np.maximum(row @ kernel, _TINY)
    eased = cost - blur * np.log(column.astype(np.float64))
    return eased - eased.min(1, keepdims=True)
