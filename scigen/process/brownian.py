"""Brownian bridges: x_t = (1 - w) x0 + w x1 + scale sqrt(w (1 - w)) z, pinned at x0 (t = 0) and at x1 (t = 1).

w = clock(t) rises from 0 to 1. A bridge whose diffusion beta(t) varies is the plain one on another clock:
scale^2 = int_0^1 beta, w(t) = int_0^t beta / scale^2. Both ends are data, so which x1 goes with which x0 is the whole
question: pairs give I2SB (arXiv:2302.05872), Sinkhorn or iterated Markovian fitting the Schroedinger bridge
(arXiv:2303.16852).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scigen.process.affine import Curve
from scigen.state import Rng, Time, as_time, expand, normal

__all__ = ["Brownian", "plain", "symmetric"]


def plain(t: Tensor) -> Tensor:
    """The clock of constant diffusion, w = t."""
    return t


@dataclass(frozen=True)
class Brownian:
    """The bridge of `scale` times Brownian motion, in the data's units; at scale 0 the straight line of a flow.

    Reversed in time it is a bridge again (`reverse`). A belief is about x0, as everywhere.
    Raises ValueError for a negative scale.
    """

    scale: float
    clock: Curve = plain

    def __post_init__(self) -> None:
        if not 0 <= self.scale < math.inf:
            raise ValueError(f"`scale` must be a number >= 0, got {self.scale}; 0 is the straight line without noise.")

    def alpha(self, t: Time) -> Tensor:
        """Weight of x0, 1 - w."""
        return 1 - self.clock(as_time(t))

    def beta(self, t: Time) -> Tensor:
        """Weight of x1, w."""
        return self.clock(as_time(t))

    def gamma(self, t: Time) -> Tensor:
        """Standard deviation around the line, scale sqrt(w (1 - w))."""
        w = self.clock(as_time(t))
        return self.scale * (w * (1 - w)).sqrt()

    def reverse(self) -> Brownian:
        """The same bridge seen from its other end: x0 and x1 exchanged, t -> 1 - t."""
        return Brownian(self.scale, lambda t: 1 - self.clock(1 - t))

    def source(self, like: Tensor, rng: Rng) -> Tensor:
        """A bridge has no source of its own: raises ValueError."""
        raise ValueError("a bridge starts from given points, not from noise; pass the points x1 to `sample` yourself.")

    def noise(self, x0: Tensor, x1: Tensor, t: Time, rng: Rng) -> Tensor:
        """x_t between the two ends; draws nothing at scale 0."""
        line = expand(self.alpha(t), x0) * x0 + expand(self.beta(t), x0) * x1
        return line if self.scale == 0 else line + expand(self.gamma(t), x0) * normal(x0, rng)

    def step(self, x_t: Tensor, x0: Tensor, t: Time, s: Time, rng: Rng) -> Tensor:
        """Exact draw of q(x_s | x_t, x0) for s < t, which x1 does not enter; draws nothing at scale 0.

        x_s = x0 + (w_s / w_t)(x_t - x0) + scale sqrt(w_s (w_t - w_s) / w_t) z.
        """
        w_t, w_s = self.beta(t), self.beta(s)
        mean = x0 + expand(w_s / w_t, x_t) * (x_t - x0)
        if self.scale == 0:
            return mean
        return mean + expand(self.scale * (w_s * (w_t - w_s) / w_t).sqrt(), x_t) * normal(x_t, rng)


def symmetric(low: float, high: float) -> Brownian:
    """I2SB's bridge: sqrt(beta) rises linearly from sqrt(low) at t = 0 to sqrt(high) at t = 1/2, then falls back.

    scale^2 = (low + sqrt(low high) + high) / 3: slow near both ends, where images are settled. arXiv:2302.05872.
    Raises ValueError unless 0 <= low <= high and high > 0.
    """
    if not 0 <= low <= high or high == 0:
        raise ValueError(f"`low` must lie in [0, high] and `high` be positive, got {low} and {high}; try 1e-4 and 1.")
    root, rise = math.sqrt(low), math.sqrt(high) - math.sqrt(low)
    total = (low + math.sqrt(low * high) + high) / 3

    def clock(t: Tensor) -> Tensor:
        u = 2 * (t - (t - 0.5).clamp(min=0) * 2)  # rises to 1 at t = 1/2 and falls back: int beta by its mirror image
        early = (root**2 * u + root * rise * u**2 + rise**2 * u**3 / 3) / (2 * total)
        return (t > 0.5) + (1 - 2 * (t > 0.5).to(early)) * early

    return Brownian(math.sqrt(total), clock)
