"""Exponential integrators: exact in the linear part, so a step depends on its two noise levels and not on the clock.

The DDIM family (arXiv:2010.02502) takes the belief constant over a step; DPM-Solver++ (arXiv:2211.01095) takes it
linear in the half log-SNR ell = log(alpha / sigma). On shared levels every affine process then gives the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser, epsilon
from scigen.process.affine import Affine
from scigen.solver.lift import move
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng, expand, normal

__all__ = ["ahead", "ddim", "ddim_step", "dpmpp_2m"]


def ddim(eta: float = 0.0) -> Solver:
    """Deterministic at eta = 0, the ancestral chain at eta = 1; every eta aims at the same marginals.

    x_s = alpha_s x0 + sqrt(sigma_s^2 - v) eps + sqrt(v) z,  v = eta^2 sigma_s^2 (1 - e^(logsnr_t - logsnr_s)).
    At eta = 0 this is DPM-Solver-1, and Euler on rectified flow. arXiv:2010.02502. Raises ValueError for other eta.
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
    """The rule of `ddim` on tensors `[B, ...]`; draws from `rng` only when eta > 0."""
    alpha, sigma = affine.alpha(s), affine.sigma(s)
    gap = affine.logsnr(t) - affine.logsnr(s)  # <= 0; both shares below are exact for short steps and for long ones
    kept = (1 - eta**2 + eta**2 * gap.exp()).sqrt()
    x_s = expand(alpha, x_t) * x0 + expand(sigma * kept, x_t) * epsilon(affine, x_t, x0, t)
    return x_s if eta == 0 else x_s + expand(eta * sigma * (-torch.expm1(gap)).sqrt(), x_t) * normal(x_t, rng)


@declare(order=2)
def dpmpp_2m(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """DPM-Solver++(2M): second order from one evaluation and the one before.

    x_s = (sigma_s / sigma_t) x_t - alpha_s (e^-h - 1) D,  h = ell_s - ell_t,  D = x0 + (x0 - previous) h / (2 h_prev).
    h is infinite at both ends of flow and cosine. From alpha_t = 0 the update is DDIM's (and the step after it too, the
    weight h / h_prev being 0); at sigma_s = 0 it is the belief. So the first and the last step are of first order.
    arXiv:2211.01095, algorithm 2.
    """

    def rule(affine: Affine, x: Tensor, x0: Tensor, *previous: Tensor) -> Tensor:
        ell_t, ell_s = affine.half_logsnr(t), affine.half_logsnr(s)
        guess = ahead(affine, x0, previous, memory, t, s)
        decay = affine.sigma(s) / affine.sigma(t)
        return expand(decay, x) * x - expand(affine.alpha(s) * torch.expm1(ell_t - ell_s), x) * guess

    belief = denoise(x_t, t, memory and memory.belief)
    history = [m.belief for m in memory.history(t, 1)] if memory else []
    return move(process, rule, t, s, rng, x_t, belief, *history), Memory(belief, t)


def ahead(affine: Affine, x0: Tensor, previous: Sequence[Tensor], memory: Memory | None, t: float, s: float) -> Tensor:
    """D = x0 + (x0 - previous) h / (2 h_prev): the belief at the middle of the step, on the line through the last two.

    `previous` holds the belief of `memory`, or nothing; without one, and where h is infinite, the belief stays x0.
    """
    ell_t, ell_s = affine.half_logsnr(t), affine.half_logsnr(s)
    if memory is None or not previous or not torch.isfinite(ell_s):
        return x0
    weight = (ell_s - ell_t) / (2 * (ell_t - affine.half_logsnr(memory.t)))
    return x0 + expand(weight, x0) * (x0 - previous[0])
