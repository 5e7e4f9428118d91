"""Two solvers in one run, each at the noise levels where it pays: a second evaluation is worth most in the middle.

High above the data the belief hardly moves within an interval, and far below it the path is nearly straight; between
them it bends. Kynkäänniemi et al. 2024, arXiv:2404.07724, find such a band for guidance.
"""

from __future__ import annotations

from typing import Any

from scigen.denoiser import Denoiser
from scigen.solver.integral import level
from scigen.solver.lift import shared_affine
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng

__all__ = ["in_band"]


def in_band(band: tuple[float, float], inside: Solver, outside: Solver) -> Solver:
    """`inside` for moves that end at rho = sigma / alpha within `band`, `outside` for the others.

    The order is the lower of the two, the evaluations of a move at most the greater. Raises ValueError for a band that
    does not rise, and for fields of different affine processes, which share no rho.
    """
    if not 0 <= band[0] < band[1]:
        raise ValueError(f"`band` must rise from 0 or above, got {band}; (0.03, 2) suits coordinates of variance 1.")

    @declare(min(inside.order, outside.order), max(inside.evaluations, outside.evaluations))
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        to = level(shared_affine(process), s)
        within = to.alpha > 0 and band[0] <= to.rho <= band[1]
        return (inside if within else outside)(process, denoise, x_t, t, s, rng, memory)

    return step
