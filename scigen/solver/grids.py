"""Time grids: lists of floats that fall from 1 (the source) to 0 (the data), `steps` intervals each.

Grids in log-SNR carry one list of noise levels to any affine process, so that processes can be compared level by level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from scigen.process.affine import Affine, rectified

__all__ = ["at_logsnr", "karras", "late", "logsnr_uniform", "quadratic", "shared", "uniform"]


def uniform(steps: int) -> list[float]:
    """t_i = 1 - i / steps."""
    _check(steps)
    return [1 - i / steps for i in range(steps + 1)]


def quadratic(steps: int) -> list[float]:
    """t_i = (1 - i / steps)^2, denser near the data. arXiv:2010.02502, appendix D."""
    return [t**2 for t in uniform(steps)]


def late(steps: int, floor: float = 0.01) -> list[float]:
    """Geometric from 1 to `floor`, then 0: most steps go where bond lengths are settled. arXiv:2406.07266

    Made for rectified flow, where t is the noise share; `shared` carries it to another process.
    """
    _check(steps)
    if not 0 < floor < 1:
        raise ValueError(f"`floor` must lie in (0, 1), got {floor}; 0.01 is usual.")
    return [floor ** (i / max(steps - 1, 1)) for i in range(steps)] + [0.0]


def logsnr_uniform(affine: Affine, steps: int, low: float = -10.0, high: float = 10.0) -> list[float]:
    """Equal steps of log-SNR from `low` to `high`, then 0. The range is cut to the levels that the process reaches."""
    return _levels(affine, steps, low, high, lambda share, first, last: first + share * (last - first))


def karras(
    affine: Affine, steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> list[float]:
    """EDM's levels: (sigma / alpha)^(1 / rho) falls linearly, then 0; sigma in units of the data. arXiv:2206.00364

    The range is cut to the levels that the process reaches.
    """

    def level(share: float, first: float, last: float) -> float:
        start, end = math.exp(-first / (2 * rho)), math.exp(-last / (2 * rho))
        return -2 * rho * math.log(start + share * (end - start))

    return _levels(affine, steps, -2 * math.log(sigma_max), -2 * math.log(sigma_min), level)


def shared(affine: Affine, grid: Iterable[float], source: Affine | None = None) -> list[float]:
    """The noise levels of `grid`, a grid of `source` (rectified flow unless given), as times of `affine`.

    Under every process the steps then run between the same log-SNR levels. The ends stay 1 and 0; inner levels beyond
    the reach of `affine` (log-SNR below -7.8 or above 9.2 for VE) have no time there and are left out.
    """
    source = source or rectified()
    inner = [float(source.logsnr(t)) for t in list(grid)[1:-1]]
    first, last = _reach(affine)
    return [1.0, *at_logsnr(affine, [level for level in inner if first < level < last]), 0.0]


def at_logsnr(affine: Affine, levels: Iterable[float]) -> list[float]:
    """The times at which logsnr(t) takes the given values, clamped to [0, 1]; the ends are not added."""
    return affine.time_of_logsnr(torch.tensor(list(levels), dtype=torch.float64)).tolist()


def _levels(
    affine: Affine, steps: int, low: float, high: float, level: Callable[[float, float, float], float]
) -> list[float]:
    """`level(share, low, high)` at equal shares. The first is taken at t = 1 itself; 0 follows the last, or is the last
    where the process bottoms out there (VE)."""
    _check(steps)
    first, last = _reach(affine)
    low, count = max(low, first), steps if last > high else steps + 1
    shares = [i / max(count - 1, 1) for i in range(1, steps)]
    return [1.0, *at_logsnr(affine, [level(share, low, min(high, last)) for share in shares]), 0.0]


def _reach(affine: Affine) -> tuple[float, float]:
    return float(affine.logsnr(1.0)), float(affine.logsnr(0.0))


def _check(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1, got {steps}.")
