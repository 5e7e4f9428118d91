"""Variational bounds on -log p(x0) of affine chains, in nats: a chain of T steps, and continuous time.

    -log p(x0) <= KL(q(x_T | x0) || N(0, sigma_T^2)) + sum or integral over levels + -log p(x0 | x_s),
each part a closed form given the belief, since every law is a Gaussian. With SNR = alpha^2 / sigma^2 a step costs
(SNR(s) - SNR(t)) / 2 |x0 - x0hat|^2 and continuous time -SNR'(t) / 2 |x0 - x0hat|^2 dt: the schedule enters through its
two ends alone. Ho et al. 2020, arXiv:2006.11239; Kingma et al. 2021, arXiv:2107.00630. Tokens: `chain_nelbo`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.process.free import field_of, free_entries, parts_of
from scigen.process.product import Product
from scigen.state import Rng, Time, normal, uniform

__all__ = [
    "Bound",
    "affine_fields",
    "chain_bound",
    "continuous_bound",
    "noise_mixture",
    "prior_term",
    "rate",
    "reconstruction_term",
    "step_term",
    "unit_noise",
]


@dataclass(frozen=True)
class Bound:
    """The three parts of a bound on -log p(x0), each `[B]` in nats."""

    prior: Tensor
    diffusion: Tensor
    reconstruction: Tensor

    @property
    def total(self) -> Tensor:
        """-log p(x0) <= prior + diffusion + reconstruction."""
        return self.prior + self.diffusion + self.reconstruction


def prior_term(affine: Affine, x0: Tensor, t: Time = 1.0) -> Tensor:
    """L_T = KL(N(alpha x0, sigma^2) || N(0, sigma^2)) = SNR(t) |x0|^2 / 2, `[B]`."""
    return affine.logsnr(t).exp().to(x0) * _square(x0) / 2


def step_term(affine: Affine, x0: Tensor, belief: Tensor, t: Time, s: Time) -> Tensor:
    """L_t = KL(q(x_s | x_t, x0) || q(x_s | x_t, belief)) = (SNR(s) - SNR(t)) / 2 |x0 - belief|^2, `[B]`, for s < t.

    The chain's variance is the posterior's, DDPM's beta~; for others see `objective.hybrid`.
    """
    low, high = affine.logsnr(t), affine.logsnr(s)
    return (high.exp() * -torch.expm1(low - high)).to(x0) * _square(x0 - belief) / 2


def rate(affine: Affine, x0: Tensor, belief: Tensor, t: Time) -> Tensor:
    """-SNR'(t) / 2 |x0 - belief|^2, `[B]` per unit of t: a step as it shrinks, and the weight g^2 of score flow.

    -SNR' = g^2 alpha^2 / sigma^4, so this is g^2 / 2 times the error of the score. arXiv:2107.00630, arXiv:2101.09258
    """
    weight = affine.diffusion_squared(t) * affine.logsnr(t).exp() / affine.sigma(t) ** 2
    return weight.to(x0) * _square(x0 - belief) / 2


def reconstruction_term(affine: Affine, x0: Tensor, belief: Tensor, s: Time, dim: Tensor) -> Tensor:
    """L_0 = -log N(x0; belief, v), v = 1 / SNR(s), in `dim [B]` dimensions, `[B]`.

    v is the noise of x_s in units of the data, which the variance of x0 given x_s tends to. Needs sigma(s) > 0:
    continuous data have no finite reconstruction from no noise.
    """
    logsnr = affine.logsnr(s).to(x0)
    return dim * (math.log(2 * math.pi) - logsnr) / 2 + logsnr.exp() * _square(x0 - belief) / 2


def chain_bound(process: Affine | Product, denoise: Denoiser, x0: Any, grid: Sequence[float], rng: Rng) -> Bound:
    """The bound of the ancestral chain that walks `grid` down: an unbiased estimate, one x_t at every level.

    On a `Product` the affine fields are summed, each given all noisy fields; `chain_nelbo` bounds the tokens.
    Raises ValueError where an affine field has no noise left at the end of the grid.
    """
    _check(process, grid[-1])

    def step(s: float) -> Term:
        return lambda affine, field, belief, t, dim: step_term(affine, field, belief, t, s)

    diffusion = torch.stack([_expect(step(s), process, denoise, x0, t, rng) for t, s in pairwise(grid)]).sum(0)
    end = _expect(reconstruction_term, process, denoise, x0, grid[-1], rng)
    return Bound(_priors(process, x0, grid[0]), diffusion, end)


def continuous_bound(
    process: Affine | Product, denoise: Denoiser, x0: Any, rng: Rng, last: float = 1e-3, draws: int = 1
) -> Bound:
    """The same for infinitely many steps from t = 1 to `last`, from one t in each of `draws` equal slices.

    Unbiased whatever the schedule, which only sets the variance. Exact beliefs make it exact, but for the two ends.
    """
    _check(process, last)
    first = next(x for _, _, x, _ in affine_fields(process, x0))

    def once(k: int) -> Tensor:
        u = uniform(first.shape[:1], first.device, rng).double()
        return _expect(_rate, process, denoise, x0, last + (1 - last) * (k + u) / draws, rng)

    diffusion = (1 - last) * torch.stack([once(k) for k in range(draws)]).mean(0)
    end = _expect(reconstruction_term, process, denoise, x0, last, rng)
    return Bound(_priors(process, x0, 1.0), diffusion, end)


def noise_mixture(weight: Callable[[Tensor], Tensor], logsnr: Tensor) -> Tensor:
    """A monotone weighting of the bound as a mixture of bounds, on data noised to each of the levels `logsnr [K]`.

    integral of w(logsnr) dL = sum_k p_k L_k, L_k the bound of data at level k: p_k is the fall of w from level k to the
    next, and w itself at the last. Levels rise. Raises ValueError where w rises: such a loss is no bound of anything.
    Kingma and Gao 2023, arXiv:2303.00848, theorem 1.
    """
    w = weight(logsnr)
    fall = torch.cat([-w.diff(), w[-1:]])
    if bool((fall < 0).any()) or bool((logsnr.diff() <= 0).any()):
        at = float(logsnr[(fall < 0).int().argmax()])
        raise ValueError(f"`weight` rises with log-SNR at {at:.4g}; only a falling one is a mixture of bounds.")
    return fall


Term: TypeAlias = Callable[[Affine, Tensor, Tensor, Time, Tensor], Tensor]  # (affine, x0, belief, t, dim) -> [B]


def _expect(term: Term, process: Any, denoise: Denoiser, x0: Any, t: Time, rng: Rng) -> Tensor:
    """One draw of x_t and the sum of `term` over affine fields."""
    x_t = process.noise(x0, unit_noise(process, x0, rng), t, rng)
    belief = denoise(x_t, t)
    terms = [term(part, x, field_of(belief, name), t, dim) for name, part, x, dim in affine_fields(process, x0)]
    return torch.stack(terms).sum(0)


def unit_noise(process: Any, x0: Any, rng: Rng) -> Any:
    """The x1 of the independent coupling: unit normals on affine fields, the source's tokens on the others."""
    if not isinstance(process, Product):
        return normal(x0, rng)
    return process.each(lambda n, part: (normal if isinstance(part, Affine) else part.source)(x0[n], rng), x0)


def affine_fields(process: Any, x0: Any) -> Iterator[tuple[str, Affine, Tensor, Tensor]]:
    """Name, process, values and dimension `[B]` of every affine field; the name of a bare tensor is ""."""
    for name, part in parts_of(process).items():
        if isinstance(part, Affine):
            x = field_of(x0, name)
            yield name, part, x, free_entries(process, x0, name).count.to(x)


def _priors(process: Any, x0: Any, t: float) -> Tensor:
    return torch.stack([prior_term(part, x, t) for _, part, x, _ in affine_fields(process, x0)]).sum(0)


def _rate(affine: Affine, x0: Tensor, belief: Tensor, t: Time, dim: Tensor) -> Tensor:
    return rate(affine, x0, belief, t)


def _check(process: Any, last: float) -> None:
    parts = [part for part in parts_of(process).values() if isinstance(part, Affine)]
    if not parts:
        raise ValueError(f"{type(process).__name__} has no affine field; tokens are bounded by `chain_nelbo`.")
    if any(float(part.sigma(last)) == 0 for part in parts):
        raise ValueError(f"the last time must leave some noise, sigma({last}) is 0; 1e-3 is usual.")


def _square(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1)
