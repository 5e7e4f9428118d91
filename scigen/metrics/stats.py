"""Confidence intervals of shares, means and medians.

A share of n independent molecules has binomial noise: Wilson's interval holds near 0 and 1, where the normal one
does not. Whatever is not a share of independent trials is resampled over molecules.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["bootstrap", "pooled_share_interval", "wilson"]

Z95 = 1.959963984540054  # 97.5 % point of the standard normal law


def wilson(successes: int, n: int, z: float = Z95) -> tuple[float, float] | None:
    """Wilson score interval of a share; None for n = 0.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), p = successes / n.   Wilson 1927, JASA 22, 209.
    Raises `ValueError` unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"`successes` must lie in [0, n], got {successes} with n={n}.")
    if n == 0:
        return None
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def bootstrap(
    values: np.ndarray, statistic: Callable[..., np.ndarray], seed: int = 0, draws: int = 500
) -> tuple[float, float] | None:
    """Percentile bootstrap 95 % interval of `statistic(values, axis=1)`; None for fewer than two values.

    `values [n]`; `statistic` is `np.mean`, `np.median` or alike. Efron 1979, Ann. Stat. 7, 1.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return None
    rng = np.random.default_rng(seed)
    block = max(1, 2_000_000 // len(values))  # bounds memory, not the result: one stream of draws
    resampled = [
        statistic(values[rng.integers(len(values), size=(min(block, draws - done), len(values)))], axis=1)
        for done in range(0, draws, block)
    ]
    low, high = np.percentile(np.concatenate(resampled), [2.5, 97.5])
    return float(low), float(high)


def pooled_share_interval(successes: np.ndarray, sizes: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of sum(successes) / sum(sizes), molecules being the independent units; None for fewer than two.

    Atoms of one molecule fail together, so a binomial over atoms would be far too narrow. Ratio estimator:
    var = n/(n-1) sum_i (k_i - p m_i)^2 / (sum m)^2, applied as Wilson's interval with the effective count p(1-p)/var.
    `successes [n]`, `sizes [n]`.   Cochran 1977, Sampling Techniques, section 6.
    """
    successes, sizes = np.asarray(successes, np.float64), np.asarray(sizes, np.float64)
    n, total = len(sizes), float(sizes.sum())
    if n < 2 or total == 0:
        return None
    p = float(successes.sum() / total)
    variance = n / (n - 1) * float(np.square(successes - p * sizes).sum()) / total**2
    # At p = 0 or 1 the residuals vanish and only the number of molecules is left to bound the share.
    effective = p * (1 - p) / variance if variance > 0 else n
    scale = 1 + Z95**2 / effective
    half = Z95 * float(np.sqrt(p * (1 - p) / effective + Z95**2 / (4 * effective**2)))
    centre = p + Z95**2 / (2 * effective)
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
