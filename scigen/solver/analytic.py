"""The variance of one reverse move: DDPM's two ends, learned values between them, and the optimal one of Analytic-DPM.

A move that puts the mean x0hat where x0 belongs loses c^2 Var[x0 | x_t] of variance, c the weight of x0 in it. Added
back, the move keeps the first two moments of every isotropic Gaussian, whatever its length.
Bao et al. 2022, arXiv:2201.06503 and (imperfect means) arXiv:2206.07309; Nichol & Dhariwal 2021, arXiv:2102.09672.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser, epsilon
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.solver.lift import move
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng, expand, normal

__all__ = ["analytic", "belief_error", "epsilon_power", "learned_variance", "variance_of_power"]


def analytic(variance: Mapping[float, Any], eta: float = 1.0) -> Solver:
    """DDIM(eta) with the optimal variance v + c^2 Var[x0 | x_t], c = alpha_s - alpha_t sqrt(sigma_s^2 - v) / sigma_t.

    v = eta^2 sigma_s^2 (1 - e^(logsnr_t - logsnr_s)) as in `ddim`. `variance` holds Var[x0 | x_t], the mean over data
    and coordinates in squared units of x0, at every time the grid leaves from; on a `Product`, a mapping by field name.
    `belief_error` estimates it. Exact for isotropic Gaussian data at any number of steps. arXiv:2201.06503, theorem 1.
    Raises ValueError for eta outside [0, 1] and at a time that `variance` does not hold.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"`eta` must lie in [0, 1], got {eta}; 1 is the ancestral chain with its optimal variance.")

    @declare(order=1)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(affine: Affine, x: Tensor, x0: Tensor, var: Tensor | float) -> Tensor:
            alpha, sigma = affine.alpha(s), affine.sigma(s)
            gap = affine.logsnr(t) - affine.logsnr(s)
            slope = sigma / affine.sigma(t) * (1 - eta**2 + eta**2 * gap.exp()).sqrt()
            weight = alpha - slope * affine.alpha(t)
            fresh = -(eta**2) * torch.expm1(gap) * sigma**2
            noise = (fresh + weight**2 * torch.as_tensor(var, dtype=sigma.dtype, device=sigma.device)).sqrt()
            mean = expand(weight, x) * x0 + expand(slope, x) * x
            return mean + expand(noise, x) * normal(x, rng)

        if t not in variance:
            raise ValueError(
                f"`variance` has no entry at t={t}; estimate it with `belief_error` at the grid's own times."
            )
        belief = denoise(x_t, t, memory and memory.belief)
        return move(process, rule, t, s, rng, x_t, belief, variance[t]), Memory(belief, t)

    return step


def learned_variance(v: float | Callable[[Any, float], Any]) -> Solver:
    """The ancestral mean with log variance v log beta + (1 - v) log beta~: v = 0 is `ancestral`, v = 1 is beta.

    beta~ = sigma_s^2 k suits data without spread, beta = sigma_t^2 k data of unit variance, k = 1 - e^(logsnr_t -
    logsnr_s). Both are taken relative to scale(t)^2 = alpha^2 + sigma^2 (1 for VP, where this is the papers' rule), so
    that all affine processes stay one up to scale. `v`: a number, or a network's v(x_t, t), per coordinate and in
    [0, 1]; by field name on a `Product`. The move to sigma_s = 0 draws nothing. arXiv:2102.09672, equation 15.
    Raises ValueError for a v outside [0, 1].
    """
    if not callable(v) and not 0 <= v <= 1:
        raise ValueError(f"`v` must lie in [0, 1], got {v}; 0 is beta~ (`ancestral`), 1 is beta.")

    @declare(order=1)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(affine: Affine, x: Tensor, x0: Tensor, share: Tensor | float) -> Tensor:
            gap = affine.logsnr(t) - affine.logsnr(s)
            slope = affine.sigma(s) / affine.sigma(t) * (gap / 2).exp()
            mean = expand(affine.alpha(s), x) * x0 + expand(slope, x) * (x - expand(affine.alpha(t), x) * x0)
            if float(affine.sigma(s)) == 0:
                return mean
            least = affine.sigma(s) * (-torch.expm1(gap)).sqrt()
            ratio = affine.sigma(t) * affine.scale(s) / (affine.sigma(s) * affine.scale(t))
            return mean + expand(least, x) * expand(ratio, x) ** share * normal(x, rng)

        belief = denoise(x_t, t, memory and memory.belief)
        share = v(x_t, t) if callable(v) else dict.fromkeys(process.parts, v) if isinstance(process, Product) else v
        return move(process, rule, t, s, rng, x_t, belief, share), Memory(belief, t)

    return step


def belief_error(
    process: Affine | Product, denoise: Denoiser, x0: Any, times: Iterable[float], rng: Rng
) -> dict[float, Any]:
    """E |x0 - x0hat|^2 / dim at each time, over a batch of data: numbers, or on a `Product` mappings by affine field.

    For the exact belief this is Var[x0 | x_t]; for any other the variance that suits its error (arXiv:2206.07309).
    The dimension is counted by the energy of the noise drawn, so that padding and a fixed centre of mass do not count.
    """
    return _means(process, denoise, x0, times, rng, lambda affine, x0, x_t, x0_hat, t: x0 - x0_hat)


def epsilon_power(
    process: Affine | Product, denoise: Denoiser, x0: Any, times: Iterable[float], rng: Rng
) -> dict[float, Any]:
    """Gamma_t = E |eps(x_t)|^2 / dim of the belief's own noise estimate, by time as in `belief_error`.

    It sees x0 through x_t alone. Not at sigma_t = 0. arXiv:2201.06503
    """
    return _means(process, denoise, x0, times, rng, lambda affine, x0, x_t, x0_hat, t: epsilon(affine, x_t, x0_hat, t))


def variance_of_power(affine: Affine, power: Mapping[float, float]) -> dict[float, float]:
    """Var[x0 | x_t] = (sigma / alpha)^2 (1 - Gamma_t), Gamma cut to [0, 1]; infinite at alpha = 0. arXiv:2201.06503"""
    return {t: float((-affine.logsnr(t)).exp()) * (1 - min(max(gamma, 0.0), 1.0)) for t, gamma in power.items()}


def _means(
    process: Affine | Product,
    denoise: Denoiser,
    x0: Any,
    times: Iterable[float],
    rng: Rng,
    residual: Callable[[Affine, Tensor, Tensor, Tensor, float], Tensor],
) -> dict[float, Any]:
    """Energy of `residual` over that of the noise, for each affine field at each time."""

    def share(affine: Affine, x0: Tensor, x_t: Tensor, x0_hat: Tensor, z: Tensor, t: float) -> float:
        left = residual(affine, x0, x_t, x0_hat, t)
        return float(left.double().square().sum() / z.double().square().sum())

    out: dict[float, Any] = {}
    for t in times:
        x_t, z = _noised(process, x0, t, rng)
        belief = denoise(x_t, t)
        if isinstance(process, Affine):
            out[t] = share(process, x0, x_t, belief, z, t)
        else:
            parts = {name: part for name, part in process.parts.items() if isinstance(part, Affine)}
            out[t] = {name: share(p, x0[name], x_t[name], belief[name], z[name], t) for name, p in parts.items()}
    return out


def _noised(process: Affine | Product, x0: Any, t: float, rng: Rng) -> tuple[Any, Any]:
    """x_t, and the unit noise in it: normal for affine fields, the source's own draw for the others."""
    if isinstance(process, Affine):
        z = normal(x0, rng)
        return process.noise(x0, z, t), z

    def draw(name: str, part: FieldProcess) -> Tensor:
        return normal(x0[name], rng) if isinstance(part, Affine) else part.source(x0[name], rng)

    unit = process.each(draw, x0)
    return process.noise(x0, unit, t, rng), unit
