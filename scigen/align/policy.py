"""The reverse chain as a policy: the density of every move, and the divergence of two policies at one state.

A move draws x_s from N(mean, v) on affine fields and from the categorical posterior on tokens, given the belief at x_t.
Black et al. 2023, arXiv:2305.13301; Fan et al. 2023, arXiv:2305.16381.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief
from scigen.process.affine import Affine
from scigen.process.categorical import Categorical
from scigen.process.free import field_of, free_entries, parts_of
from scigen.process.product import Product
from scigen.state import Time, expand

__all__ = ["kl", "log_prob"]


def log_prob(process: Any, belief: Belief, x_t: Any, x_s: Any, t: Time, s: Time, eta: float = 1.0) -> Tensor:
    """log p(x_s | x_t, belief) of one `ddim(eta)` move (`ancestral` at eta = 1), in nats, `[B]`, exact constants.

    Affine fields: -|x_s - mean|^2 / (2 v) - d log(2 pi v) / 2 with v = eta^2 sigma_s^2 (1 - e^(logsnr_t - logsnr_s))
    and d the free dimensions, D fewer where the centre of mass is fixed. Tokens: log of the posterior at x_s, the
    smallest number in place of 0. Padding counts nothing, a symmetric pair once. Coordinates that land where
    sigma_s = 0 are read off the belief, not drawn, and add nothing. Raises ValueError for eta outside (0, 1], and
    when nothing is drawn at all.
    """
    _check(process, s, eta)
    total = torch.zeros(())
    for name, part in parts_of(process).items():
        free, x, b, y = free_entries(process, x_t, name), *(field_of(z, name) for z in (x_t, belief, x_s))
        if isinstance(part, Categorical):
            p = part.posterior(x, b, t, s).gather(-1, y.unsqueeze(-1)).squeeze(-1)
            total = total + free.total(_log(p))
        else:
            mean, var = _gaussian(part, x, b, t, s, eta)
            square = free.total((y - _projected(process, x_t, name, mean)).square())
            drawn = torch.where(var > 0, var, 1.0)
            value = -square / (2 * drawn) - free.count * (math.log(2 * math.pi) + drawn.log()) / 2
            total = total + torch.where(var > 0, value, 0.0)
    return total


def kl(process: Any, belief: Belief, other: Belief, x_t: Any, t: Time, s: Time, eta: float = 1.0) -> Tensor:
    """KL(p(x_s | x_t, belief) | p(x_s | x_t, other)) of one move, in nats, `[B]`.

    Affine fields: |mean - mean'|^2 / (2 v), which at eta = 1 is (SNR_s - SNR_t) |belief - other|^2 / 2; tokens: the
    divergence of the posteriors, exact. Its sum along a chain bounds that of the ends. Raises as `log_prob`.
    """
    _check(process, s, eta)
    total = torch.zeros(())
    for name, part in parts_of(process).items():
        free, x, b, c = free_entries(process, x_t, name), *(field_of(z, name) for z in (x_t, belief, other))
        if isinstance(part, Categorical):
            p, q = part.posterior(x, b, t, s), part.posterior(x, c, t, s)
            total = total + free.total((p * (_log(p) - _log(q))).sum(-1))
        else:
            (mean, var), (apart, _) = _gaussian(part, x, b, t, s, eta), _gaussian(part, x, c, t, s, eta)
            square = free.total(_projected(process, x_t, name, mean - apart).square())
            total = total + torch.where(var > 0, square / (2 * torch.where(var > 0, var, 1.0)), 0.0)
    return total


def _gaussian(affine: Any, x_t: Tensor, x0: Tensor, t: Time, s: Time, eta: float) -> tuple[Tensor, Tensor]:
    """Mean, like x_t, and variance of a coordinate, a number or `[B]`."""
    gap, sigma = affine.logsnr(t) - affine.logsnr(s), affine.sigma(s)
    kept = sigma / affine.sigma(t) * (1 - eta**2 + eta**2 * gap.exp()).sqrt()
    mean = expand(affine.alpha(s), x_t) * x0 + expand(kept, x_t) * (x_t - expand(affine.alpha(t), x_t) * x0)
    return mean, (-(eta**2) * sigma**2 * torch.expm1(gap)).to(x_t)


def _projected(process: Any, x_t: Any, name: str, mean: Tensor) -> Tensor:
    return process.project(x_t.replace(**{name: mean}))[name] if isinstance(process, Product) else mean


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def _check(process: Any, s: Time, eta: float) -> None:
    if not 0 < eta <= 1:
        raise ValueError(f"`eta` must lie in (0, 1], got {eta}; a chain that draws nothing has no density.")
    drawn = False
    for part in parts_of(process).values():
        if isinstance(part, Affine):
            drawn = drawn or bool((part.sigma(s) > 0).all())
        elif isinstance(part, Categorical):
            drawn = True
        else:
            raise ValueError(f"the moves of {type(part).__name__} have no density here; use Affine or Categorical.")
    if not drawn:
        raise ValueError(f"the move to s={s} draws nothing, since sigma is 0 there; end the grid above it.")
