"""Few-step sampling with a belief that already is a sample: jump to the data, noise afresh, jump again.

Multistep consistency sampling, Song et al. 2023, arXiv:2303.01469, algorithm 1.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.solver.lift import move
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng, expand, normal

__all__ = ["renoise"]


def renoise(level: float = 0.0) -> Solver:
    """x_s = alpha_s f + sqrt(sigma_s^2 - alpha_s^2 level^2) z with f = f(x_t, t): nothing of x_t's noise is kept.

    `level` is sigma / alpha at the time the beliefs point to (a consistency model's t_min). With exact beliefs every
    step keeps the law, whatever the grid; with the posterior mean, an ordinary denoiser's belief, variance is lost.
    Tokens take their posterior draw. Raises ValueError for a negative level.
    """
    if level < 0:
        raise ValueError(f"`level` must be sigma / alpha where the beliefs point, at least 0, got {level}.")

    # No grid makes a wrong belief right: nothing here converges in the number of steps, and the order is nought.
    @declare(order=0)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
            alpha, sigma = affine.alpha(s), affine.sigma(s)
            fresh = (sigma**2 - (alpha * level) ** 2).clamp(min=0).sqrt()  # nought at and below the level itself
            return expand(alpha, x) * x0 + expand(fresh, x) * normal(x, rng)

        belief = denoise(x_t, t, memory and memory.belief)
        return move(process, rule, t, s, rng, x_t, belief), Memory(belief, t)

    return step
