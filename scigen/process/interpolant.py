"""Stochastic interpolants: x_t = alpha(t) x0 + beta(t) x1 + gamma(t) z between two laws of data.

alpha falls from 1 to 0, beta rises from 0 to 1, gamma vanishes at both ends. One set of marginals carries an ODE and a
whole family of SDEs; all they need is the belief about both ends, E[x0 | x_t] and E[x1 | x_t]:
    E[z | x_t] = (x_t - alpha x0 - beta x1) / gamma,   score = -E[z | x_t] / gamma,
    velocity b = alpha' x0 + beta' x1 + gamma' E[z | x_t].
Albergo, Boffi and Vanden-Eijnden 2023, arXiv:2303.08797.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from scigen.process.affine import Curve, derivative
from scigen.state import Rng, Time, as_time, expand, normal

__all__ = ["Ends", "Interpolant", "TwoSided", "carry", "linear", "score", "trigonometric", "velocity"]


class Ends(NamedTuple):
    """A belief about both ends: E[x0 | x_t] and E[x1 | x_t]."""

    x0: Any
    x1: Any


class TwoSided(Protocol):
    """The three curves of a process between two laws: an `Interpolant`, or a `Brownian` bridge."""

    @property
    def alpha(self) -> Callable[[Tensor], Tensor]: ...

    @property
    def beta(self) -> Callable[[Tensor], Tensor]: ...

    @property
    def gamma(self) -> Callable[[Tensor], Tensor]: ...


@dataclass(frozen=True)
class Interpolant:
    """Three curves on [0, 1]; a belief is `Ends`."""

    alpha: Curve
    beta: Curve
    gamma: Curve

    def source(self, like: Tensor, rng: Rng) -> Tensor:
        """An interpolant has no source of its own: raises ValueError."""
        raise ValueError("an interpolant starts from given points; pass the points x1 to `sample` yourself.")

    def noise(self, x0: Tensor, x1: Tensor, t: Time, rng: Rng) -> Tensor:
        """x_t between the two ends."""
        a, b, c = _curves(self, t, x0)
        return a * x0 + b * x1 + c * normal(x0, rng)

    def step(self, x_t: Tensor, belief: Ends, t: Time, s: Time, rng: Rng) -> Tensor:
        """x_s for the given ends: they fix z, so nothing is drawn, and a chain of these moves follows the ODE."""
        return carry(self, x_t, belief, t, s)


def linear(scale: float) -> Interpolant:
    """(1 - t) x0 + t x1 + scale sqrt(t (1 - t)) z: the marginals of `Brownian(scale)`. arXiv:2303.08797, section 4."""
    return Interpolant(lambda t: 1 - t, lambda t: t, lambda t: scale * (t * (1 - t)).sqrt())


def trigonometric(scale: float) -> Interpolant:
    """cos(pi t / 2) x0 + sin(pi t / 2) x1 + scale sin(pi t)^2 z: variance preserving ends, and a smooth gamma."""
    quarter = math.pi / 2
    return Interpolant(
        lambda t: torch.sin(quarter * (1 - t)),
        lambda t: torch.sin(quarter * t),
        lambda t: scale * torch.sin(math.pi * torch.minimum(t, 1 - t)) ** 2,
    )


def carry(process: TwoSided, x_t: Tensor, ends: Ends, t: Time, s: Time, fresh: Time = 0.0) -> Tensor:
    """Mean of x_s for the believed ends: alpha_s x0 + beta_s x1 + sqrt(gamma_s^2 - fresh) E[z | x_t].

    `fresh <= gamma_s^2` is the variance that new noise will put back. Where gamma_t = 0 the ends say nothing of z; its
    mean is then taken as 0, which costs O(t - s) once.
    """
    (a, b, c), (a_s, b_s, c_s) = _curves(process, t, x_t), _curves(process, s, x_t)
    kept = (c_s**2 - expand(fresh, x_t)).clamp(min=0).sqrt()
    return a_s * ends.x0 + b_s * ends.x1 + _share(kept, c) * (x_t - a * ends.x0 - b * ends.x1)


def velocity(process: TwoSided, x_t: Tensor, ends: Ends, t: Time) -> Tensor:
    """dx/dt of the probability-flow ODE, alpha' x0 + beta' x1 + gamma' E[z | x_t]; for 0 < t < 1."""
    a, b, c = _curves(process, t, x_t)
    curves = (process.alpha, process.beta, process.gamma)
    slope_a, slope_b, slope_c = (expand(derivative(f, as_time(t)), x_t) for f in curves)
    return slope_a * ends.x0 + slope_b * ends.x1 + _share(slope_c, c) * (x_t - a * ends.x0 - b * ends.x1)


def score(process: TwoSided, x_t: Tensor, ends: Ends, t: Time) -> Tensor:
    """grad log p_t(x_t) = -(x_t - alpha x0 - beta x1) / gamma^2; do not ask for it where gamma = 0."""
    a, b, c = _curves(process, t, x_t)
    return -(x_t - a * ends.x0 - b * ends.x1) / c**2


def _curves(process: TwoSided, t: Time, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    u = as_time(t)
    a, b, c = (expand(f(u), like) for f in (process.alpha, process.beta, process.gamma))
    return a, b, c


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 0 where the whole is 0."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)
