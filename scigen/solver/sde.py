"""The reverse SDEs dx = (f x - (1 + eta^2) / 2 g^2 score) dt + eta g dW, and Langevin correctors at one time.

Every eta has the same marginals: 0 is the probability-flow ODE, 1 the reverse SDE of Song et al., arXiv:2011.13456.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser, epsilon, velocity
from scigen.process.affine import Affine
from scigen.solver.dpm import ahead
from scigen.solver.lift import adjust, at_data, move
from scigen.solver.loop import Memory, Solver, ancestral, declare
from scigen.state import Rng, Time, expand, normal

__all__ = ["dpmpp_2m_sde", "euler_maruyama", "exponential", "langevin", "predictor_corrector", "reverse_drift"]


@declare(order=1)
def euler_maruyama(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """x_s = x_t + (s - t)(f x - g^2 score) + g sqrt(t - s) z, with f x - g^2 score = velocity + g^2 eps / (2 sigma).

    g^2 is infinite where alpha = 0 (t = 1 of flow and cosine): raises ValueError there. Use steps of log-SNR below 1.
    """

    def rule(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
        noise = expand((affine.diffusion_squared(t) * (t - s)).sqrt(), x) * normal(x, rng)
        return x + (s - t) * reverse_drift(affine, x, x0, t) + noise

    belief = denoise(x_t, t, memory and memory.belief)
    return move(process, rule, t, s, rng, x_t, belief), Memory(belief, t)


def dpmpp_2m_sde(eta: float = 1.0) -> Solver:
    """DPM-Solver++(2M) on the SDE of noise `eta`: exact in the linear part and in the noise, of second order in law.

    `exponential` with the belief taken linear in ell: D = x0 + (x0 - previous) h / (2 h_prev). eta = 0 is `dpmpp_2m`. A
    move without history, from alpha_t = 0 or to sigma_s = 0 is of first order: `ancestral` at eta = 1, the belief where
    sigma_s = 0. Any eta > 0 forgets a source at alpha_t = 0. arXiv:2211.01095. Raises ValueError for a negative eta.
    """
    if not eta >= 0:
        raise ValueError(f"`eta` must be at least 0, got {eta}; 0 is the ODE, 1 the reverse SDE.")

    @declare(order=2)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(affine: Affine, x: Tensor, x0: Tensor, *previous: Tensor) -> Tensor:
            ell_t, ell_s = affine.half_logsnr(t), affine.half_logsnr(s)
            guess = ahead(affine, x0, previous, memory, t, s)
            decay = affine.sigma(s) / affine.sigma(t)
            keep, pull, fresh = exponential(affine.alpha(s), affine.sigma(s), decay, ell_t - ell_s, eta)
            x_s = expand(keep, x) * x + expand(pull, x) * guess
            return x_s if eta == 0 else x_s + expand(fresh, x) * normal(x, rng)

        belief = denoise(x_t, t, memory and memory.belief)
        history = [m.belief for m in memory.history(t, 1)] if memory else []
        return move(process, rule, t, s, rng, x_t, belief, *history), Memory(belief, t)

    return step


def exponential(alpha: Tensor, sigma: Tensor, decay: Tensor, gap: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor]:
    """The SDE of noise `eta` from t to s, solved exactly for a belief that stays put: (a, b, c) in a x_t + b x0 + c z.

    a = decay e^(eta^2 gap),  b = alpha (1 - e^((1 + eta^2) gap)),  c = sigma sqrt(1 - e^(2 eta^2 gap)), with alpha and
    sigma at s, decay = sigma_s / sigma_t and gap = ell_t - ell_s <= 0; all numbers or all of one shape.
    """
    gap = gap.clamp(min=-1e4)  # e^-10000 is 0, and 0 gap is not NaN, as eta = 0 from a pure source would have it
    noise = sigma * (-torch.expm1(2 * eta**2 * gap)).sqrt()
    return decay * (eta**2 * gap).exp(), -alpha * torch.expm1((1 + eta**2) * gap), noise


def reverse_drift(affine: Affine, x_t: Tensor, x0: Tensor, t: Time) -> Tensor:
    """f x - g^2 score = velocity + g^2 eps / (2 sigma), on tensors `[B, ...]`, at one t or one per sample `[B]`.

    Raises ValueError where alpha = 0 (t = 1 of flow and cosine): g^2 is infinite there.
    """
    if bool((affine.alpha(t) == 0).any()):
        raise ValueError(
            f"the reverse SDE has no drift at t={t}, where alpha is 0; start at 1 - 1e-3 or use `ddim(1)`."
        )
    pull = affine.diffusion_squared(t) / (2 * affine.sigma(t))
    return velocity(affine, x_t, x0, t) + expand(pull, x_t) * epsilon(affine, x_t, x0, t)


def predictor_corrector(predictor: Solver = ancestral, corrections: int = 1, snr: float = 0.16) -> Solver:
    """Any solver, then Langevin steps at the level it reached; none where no noise is left.

    Tokens keep what the predictor drew: Langevin on coordinates holds p_s(coordinates | tokens), hence the joint law.
    At a fixed snr the corrector's bias falls like one power of the step, so the order is 1 whatever the predictor's.
    Raises ValueError for a negative count or an snr outside (0, 1).
    """
    if corrections < 0 or not 0 < snr < 1:
        raise ValueError(f"`corrections` must be >= 0 and `snr` in (0, 1), got {corrections}, {snr}; try 1 and 0.16.")

    @declare(order=1 if corrections else predictor.order, evaluations=predictor.evaluations + corrections)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
            return langevin(affine, x, x0, s, snr, rng)

        x_s, left = predictor(process, denoise, x_t, t, s, rng, memory)
        belief = left.belief
        for _ in range(0 if at_data(process, s) else corrections):
            belief = denoise(x_s, s, belief)
            x_s = adjust(process, rule, x_s, belief)
        return x_s, left  # the predictor's own memory: a multistep one needs beliefs from its own times

    return step


def langevin(affine: Affine, x: Tensor, x0: Tensor, t: float, snr: float, rng: Rng) -> Tensor:
    """x + h score + sqrt(2 h) z with h = 2 (snr sigma)^2.

    The paper takes |z| / |score| over the batch where we take its expectation sigma: a sample then never depends on its
    batch, and all affine processes stay one process up to scale. On a marginal of variance v the chain settles at
    v / (1 - h / (2 v)), not v: the bias vanishes with sigma.
    """
    sigma = affine.sigma(t)
    drift = -expand(2 * snr**2 * sigma, x) * epsilon(affine, x, x0, t)
    return x + drift + expand(2 * snr * sigma, x) * normal(x, rng)
