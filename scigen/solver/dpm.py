"""DPM-Solver++: exponential integrators in the half log-SNR ell = log(alpha / sigma), on the belief about x0.

x_s = (sigma_s / sigma_t) x_t - alpha_s (e^-h - 1) D,  h = ell_s - ell_t.   Lu et al. 2022, arXiv:2211.01095.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.solver.lift import move
from scigen.solver.loop import Memory, declare
from scigen.state import Rng, expand

__all__ = ["dpmpp_2m"]


@declare(order=2)
def dpmpp_2m(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """Second order from one evaluation: D = x0 + (x0 - previous x0) h / (2 h_previous).

    h is infinite at both ends of flow and cosine. From alpha_t = 0 the update is DDIM's (and the step after it too, the
    weight h / h_previous being 0); at sigma_s = 0 it is the belief. So the first and the last step are of first order.
    """

    def rule(affine: Affine, x: Tensor, x0: Tensor, *previous: Tensor) -> Tensor:
        ell_t, ell_s = affine.half_logsnr(t), affine.half_logsnr(s)
        guess = x0
        if memory is not None and previous and torch.isfinite(ell_s):
            weight = (ell_s - ell_t) / (2 * (ell_t - affine.half_logsnr(memory.t)))
            guess = x0 + expand(weight, x) * (x0 - previous[0])
        decay = affine.sigma(s) / affine.sigma(t)
        return expand(decay, x) * x - expand(affine.alpha(s) * torch.expm1(ell_t - ell_s), x) * guess

    belief = denoise(x_t, t, memory and memory.belief)
    # A belief formed at t itself (Heun's second one) has no slope to give.
    history = (memory.belief,) if memory is not None and memory.t > t else ()
    return move(process, rule, t, s, rng, x_t, belief, *history), Memory(belief, t)
