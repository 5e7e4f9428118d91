"""Truncated diffusion: start at a time t < 1 from a generator's samples, an implicit prior, and walk only the rest.

With samples of p_t itself nothing is lost, however few the steps that are left. Zheng et al. 2022, arXiv:2202.09671
(a generator of x_t); Lyu et al. 2022, arXiv:2205.12524 (a generator of x0, diffused to t).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scigen.distill.match import noised
from scigen.state import Rng

__all__ = ["diffused", "truncated"]


def truncated(grid: Iterable[float], t_start: float) -> list[float]:
    """`grid` from `t_start` down: t_start itself, then every time below it.

    Raises ValueError when t_start lies outside the grid or on its last time.
    """
    times = [float(t) for t in grid]
    if not times[-1] < t_start <= times[0]:
        raise ValueError(f"`t_start` must lie in ({times[-1]}, {times[0]}], the span of the grid, got {t_start}.")
    return [t_start, *(t for t in times if t < t_start)]


def diffused(process: Any, x0: Any, t_start: float, rng: Rng) -> Any:
    """x_t at t_start from a generator's data-like samples x0: x_t = alpha x0 + sigma z, tokens by `keep`.

    What is wrong in the generator's law is then washed out as far as the noise at t_start reaches: a mean off by d
    enters as alpha d.
    """
    return noised(process, x0, t_start, rng)
