"""Guidance by a gradient: score + w grad log p(y | x_t), on the belief x0 + w (sigma^2 / alpha) grad log p(y | x_t).

By Bayes' rule w = 1 gives the belief of the data given y. Any function of x_t whose exponential tilts the law serves as
log p(y | x_t): the value log E[exp(r(x0)) | x_t] of a reward r tilts the data to p(x0) exp(r(x0)).
Dhariwal and Nichol 2021, arXiv:2105.05233.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.guidance.gradient import affine_of, detached, gain, leaf, ordinary, put, recording, take
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.state import Time, expand

__all__ = ["classifier", "reward"]


def classifier(
    denoise: Denoiser,
    process: Affine | Product,
    log_p: Callable[[Any, Time], Tensor],
    weight: float | Tensor = 1.0,
    field: str = "pos",
) -> Denoiser:
    """Guide by `log_p(x_t, t) [B]`, up to a constant: a classifier of noisy data, or a value function.

    `weight` is one number or one per sample. On a `State` only the affine `field` is guided; tokens learn of y through
    the coordinates they see at the next level. Raises ValueError at alpha = 0 and for a field that is not affine.
    """
    affine = affine_of(process, field)

    def guided(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        step = weight * gain(affine, t)
        with recording():
            x, at = leaf(process, x_t, field)
            (slope,) = torch.autograd.grad(log_p(x, t).sum(), at)
        belief = denoise(x_t, t, previous)
        return put(belief, field, take(belief, field) + expand(step, slope) * slope)

    return guided


def reward(
    denoise: Denoiser,
    process: Affine | Product,
    log_p: Callable[[Belief], Tensor],
    weight: float | Tensor = 1.0,
    field: str = "pos",
) -> Denoiser:
    """Guide by `log_p(belief) [B]` of clean data, differentiated through the denoiser: no noisy classifier is needed.

    log_p at the mean stands for log E[p(y | x0) | x_t]: exact, up to a constant, where log_p is linear in x0 and the
    data Gaussian. Elsewhere it overstates what is known; for linear observations `inverse.moment_matching` does not.
    DPS, arXiv:2209.14687; universal guidance, arXiv:2302.07121. Raises what `classifier` raises.
    """
    affine = affine_of(process, field)

    def guided(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        step = weight * gain(affine, t)
        with recording():
            x, at = leaf(process, x_t, field)
            belief = denoise(x, t, ordinary(previous))
            (slope,) = torch.autograd.grad(log_p(belief).sum(), at)
        belief = detached(belief)
        return put(belief, field, take(belief, field) + expand(step, slope) * slope)

    return guided
