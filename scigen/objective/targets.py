"""What a network may be asked to regress on: x0, epsilon, v, score or velocity of one belief, and how to get x0 back.

Every expression of `scigen.denoiser` is linear, f(x_t, x0) = p x_t + q x0, so its own values at unit arguments are its
coefficients: x0 = (f - p x_t) / q, and |f - fhat|^2 = q^2 |x0 - x0hat|^2 says which weight on x0 it amounts to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.state import Time, expand

__all__ = ["Target", "belief_of", "coefficients", "itself", "weight_of"]

Target: TypeAlias = Callable[[Affine, Tensor, Tensor, Time], Tensor]  # (affine, x_t, x0, t), as in scigen.denoiser


def itself(affine: Affine, x_t: Tensor, x0: Tensor, t: Time) -> Tensor:
    """x0 as its own target."""
    return x0


def coefficients(target: Target, affine: Affine, t: Time) -> tuple[Tensor, Tensor]:
    """p and q in target = p x_t + q x0, shaped like t."""
    like = affine.logsnr(t)
    one, zero = torch.ones_like(like), torch.zeros_like(like)
    return target(affine, one, zero, t), target(affine, zero, one, t)


def belief_of(target: Target, affine: Affine, x_t: Tensor, predicted: Tensor, t: Time) -> Tensor:
    """x0hat = (predicted - p x_t) / q: a network of any target under the denoiser contract.

    q is 0 where the target says nothing of x0: epsilon and score at alpha = 0, velocity where alpha logsnr' = 0.
    """
    p, q = coefficients(target, affine, t)
    return (predicted - expand(p, x_t) * x_t) / expand(q, x_t)


def weight_of(target: Target, affine: Affine, t: Time) -> Tensor:
    """q^2, the weight on |x0 - x0hat|^2 that equals a unit weight on the target.

    epsilon SNR; score SNR / sigma^2; v 1 / sigma^2 (1 + SNR) under VP; velocity (alpha logsnr' / 2)^2, flow's 1 / t^2.
    """
    return coefficients(target, affine, t)[1] ** 2
