"""The DDIM family: deterministic at eta = 0, the ancestral chain at eta = 1.

x_s = alpha_s x0 + sqrt(sigma_s^2 - v) eps + sqrt(v) z,  v = eta^2 sigma_s^2 (1 - e^(logsnr_t - logsnr_s)).
Song, Meng and Ermon 2021, arXiv:2010.02502.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser, epsilon
from scigen.process.affine import Affine
from scigen.solver.lift import move
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng, expand, normal

__all__ = ["ddim", "ddim_step"]


def ddim(eta: float = 0.0) -> Solver:
    """One step of the family for each interval; every eta has the same marginals when the belief is exact.

    At eta = 0 this is DPM-Solver-1, and Euler on rectified flow. Raises ValueError outside 0 <= eta <= 1.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"`eta` must lie in [0, 1], got {eta}; 0 draws nothing, 1 is the ancestral chain.")

    @declare(order=1)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
            return ddim_step(affine, x, x0, t, s, eta, rng)

        belief = denoise(x_t, t, memory and memory.belief)
        return move(process, rule, t, s, rng, x_t, belief), Memory(belief, t)

    return step


def ddim_step(affine: Affine, x_t: Tensor, x0: Tensor, t: float, s: float, eta: float, rng: Rng) -> Tensor:
    """The rule on tensors `[B, ...]`; draws from `rng` only when eta > 0."""
    alpha, sigma = affine.alpha(s), affine.sigma(s)
    lost = -torch.expm1(affine.logsnr(t) - affine.logsnr(s))  # in [0, 1], exact where the two levels are close
    x_s = expand(alpha, x_t) * x0 + expand(sigma * (1 - eta**2 * lost).sqrt(), x_t) * epsilon(affine, x_t, x0, t)
    return x_s if eta == 0 else x_s + expand(eta * sigma * lost.sqrt(), x_t) * normal(x_t, rng)
