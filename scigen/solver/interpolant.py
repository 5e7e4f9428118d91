"""Stochastic interpolants from t = 1 to 0: one ODE, and a family of SDEs that share its marginals.

dx = b dt, or dx = (b - epsilon score) dt + sqrt(2 epsilon) dW run backwards, for any epsilon(t) >= 0.
Albergo, Boffi and Vanden-Eijnden 2023, arXiv:2303.08797.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.brownian import Brownian
from scigen.process.interpolant import Ends, Interpolant, carry
from scigen.solver.bridge import move_between
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng, as_time, normal

__all__ = ["interpolate"]


def interpolate(epsilon: float = 0.0) -> Solver:
    """x_s = alpha_s x0 + beta_s x1 + sqrt(gamma_s^2 - v) E[z | x_t] + sqrt(v) z, v = min(2 epsilon (t - s), gamma_s^2).

    What DDIM(eta) is to diffusion: exact in the curves, first order in the belief, finite at both ends. It needs the
    belief about both ends (`Ends`) and takes a `Brownian` bridge too, where epsilon = 0 is its probability-flow ODE.
    Raises ValueError for a negative epsilon, for a positive one where there is no noise to exchange, and for a belief
    about x0 alone.
    """
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"`epsilon` must be a number >= 0, got {epsilon}; 0 is the ODE.")

    @declare(order=1)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(part: Interpolant | Brownian, x: Tensor, ends: Ends) -> Tensor:
            if not isinstance(ends, Ends):
                raise ValueError(f"`interpolate` needs a belief about both ends (`Ends`), got {type(ends).__name__}.")
            room = float(part.gamma(as_time(s))) ** 2
            if epsilon > 0 and room == 0 and s > 0:
                raise ValueError(f"there is no noise at t={s} to draw afresh; use `interpolate(0)`, the ODE.")
            fresh = min(2 * epsilon * (t - s), room)
            x_s = carry(part, x, ends, t, s, fresh)
            return x_s if fresh == 0 else x_s + math.sqrt(fresh) * normal(x, rng)

        belief = denoise(x_t, t, memory and memory.belief)
        return move_between((Interpolant, Brownian), process, rule, t, s, rng, x_t, belief), Memory(belief, t)

    return step
