"""Stochastic interpolants from t = 1 to 0: one ODE, and a family of SDEs that share its marginals.

dx = b dt, or dx = (b - epsilon score) dt + sqrt(2 epsilon) dW run backwards, for any epsilon(t) >= 0. Here
epsilon = rate gamma^2, which keeps z an Ornstein-Uhlenbeck process, and the drift finite where gamma vanishes.
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


def interpolate(rate: float = 0.0) -> Solver:
    """x_s = alpha_s x0 + beta_s x1 + sqrt(gamma_s^2 - v) E[z | x_t] + sqrt(v) z,  v = gamma_s^2 (1 - e^(-2 rate h)).

    What DDIM(eta) is to diffusion: exact in the curves, first order in the belief, finite at both ends. z is renewed at
    `rate` per unit of t (h = t - s); at 0 this is the ODE. It needs the belief about both ends (`Ends`), and takes a
    `Brownian` bridge too: its probability-flow ODE. A gamma like sqrt(t) at an end costs a logarithm of the steps.
    Raises ValueError for a negative rate, for a positive one where there is no noise to renew, and for a belief about
    x0 alone.
    """
    if not 0 <= rate < math.inf:
        raise ValueError(f"`rate` must be a number >= 0, got {rate}; 0 is the ODE.")

    @declare(order=1)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(part: Interpolant | Brownian, x: Tensor, ends: Ends) -> Tensor:
            if not isinstance(ends, Ends):
                raise ValueError(f"`interpolate` needs a belief about both ends (`Ends`), got {type(ends).__name__}.")
            if rate == 0:
                return carry(part, x, ends, t, s)
            room, had = (float(part.gamma(as_time(u))) ** 2 for u in (s, t))
            if room == had == 0:
                raise ValueError(f"there is no noise from t={t} to {s} to renew; use `interpolate()`, the ODE.")
            fresh = room * -math.expm1(-2 * rate * (t - s)) if had > 0 else room  # from an end z starts anew
            return carry(part, x, ends, t, s, fresh) + math.sqrt(fresh) * normal(x, rng)

        belief = denoise(x_t, t, memory and memory.belief)
        return move_between((Interpolant, Brownian), process, rule, t, s, rng, x_t, belief), Memory(belief, t)

    return step
