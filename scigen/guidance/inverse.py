"""Posterior sampling from linear observations y = A x0 + n: one trained prior, any instrument.

Given x_t, take x0 to be Gaussian about its belief. Its covariance with anything that x_t determines comes from the
belief itself, V = Cov[x0 | x_t] = (sigma^2 / alpha) d x0 / d x_t (Tweedie's second formula), and y moves the belief by
a Kalman step,
    x0 + V A' (var I + A C A')^-1 (y - A x0).
The three rules differ in C, the spread of x0 that they allow for: none (DPS), a fixed one (PiGDM), V (moment matching).
Only products with V and A' are needed: backward passes through the denoiser and the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.guidance.classifier import reward
from scigen.guidance.gradient import affine_of, detached, gain, leaf, ordinary, put, recording, take
from scigen.oracle import gaussian_variance
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.state import Time, expand

__all__ = ["Observation", "dps", "moment_matching", "pigdm"]

Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Observation:
    """y = A x0 + n, n ~ N(0, var I): `operator` is A, `value` is y `[B, ...]`, `var` one number or one per sample.

    A acts on each sample alone, `[B, ...] -> [B, ...]`, by torch operations; it may have an offset. Coordinates that
    are simply known are `lambda x: x * known` with `value` zero elsewhere and `var` 0.
    """

    operator: Linear
    value: Tensor
    var: float | Tensor = 0.0

    def residual(self, x0: Tensor) -> Tensor:
        """y - A x0."""
        return self.value.to(x0) - self.operator(x0)

    def adjoint(self, like: Tensor) -> Linear:
        """A', on arrays shaped like y: the gradient of <A x, u> by x. Call it while recording."""
        x = like.detach().requires_grad_()
        image = self.operator(x)
        return lambda u: torch.autograd.grad(image, x, u, retain_graph=True)[0]


def dps(
    denoise: Denoiser,
    process: Affine | Product,
    observation: Observation,
    weight: float | Tensor = 1.0,
    field: str = "pos",
) -> Denoiser:
    """C = 0, diffusion posterior sampling: the gradient of log N(y; A x0, var I) through the belief.

    It takes the belief for the truth, so it overshoots by V / var where noise hides more than the instrument: the
    paper scales it down by hand, which is `weight`. One backward pass, and A may be curved. Chung et al. 2022,
    arXiv:2209.14687. Raises ValueError for var = 0, at alpha = 0 and for a field that is not affine.
    """
    if bool((torch.as_tensor(observation.var) <= 0).any()):
        raise ValueError(f"`dps` needs a positive `var`, got {observation.var}; use `moment_matching` for exact data.")

    def log_p(belief: Belief) -> Tensor:
        miss = observation.residual(take(belief, field))
        return -(miss.square() / (2 * expand(observation.var, miss))).flatten(1).sum(1)

    return reward(denoise, process, log_p, weight, field)


def pigdm(
    denoise: Denoiser,
    process: Affine | Product,
    observation: Observation,
    std: float = 1.0,
    iterations: int = 5,
    field: str = "pos",
) -> Denoiser:
    """C = r^2 I, r^2 = std^2 sigma^2 / (alpha^2 std^2 + sigma^2): the spread of data of independent N(., std^2).

    Exact for such data. Song et al., ICLR 2023 (openreview.net/forum?id=9_gsMA8MRKQ). `iterations` bounds the conjugate
    gradients, as in `moment_matching`, but each is a pass through A alone. Raises ValueError at alpha = 0 and for a
    field that is not affine.
    """
    return _kalman(denoise, process, observation, iterations, field, std)


def moment_matching(
    denoise: Denoiser, process: Affine | Product, observation: Observation, iterations: int = 5, field: str = "pos"
) -> Denoiser:
    """C = V: the exact posterior belief for Gaussian data, whatever its covariance, A and var.

    The system is solved by `iterations` of conjugate gradients, a backward pass through the denoiser each and one
    more: as many as y has entries solve it, few damp it. Rozet et al. 2024, arXiv:2405.13712. On a `State` only the
    affine `field` is corrected. Raises ValueError at alpha = 0 and for a field that is not affine.
    """
    return _kalman(denoise, process, observation, iterations, field, None)


def _kalman(
    denoise: Denoiser,
    process: Affine | Product,
    observation: Observation,
    iterations: int,
    field: str,
    std: float | None,
) -> Denoiser:
    """C is V where `std` is None."""
    if iterations < 1:
        raise ValueError(f"`iterations` must be at least 1, got {iterations}; 5 is usual.")
    affine = affine_of(process, field)

    def guided(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        scale = gain(affine, t)
        with recording():
            x, at = leaf(process, x_t, field)
            belief = denoise(x, t, ordinary(previous))
            x0 = take(belief, field)
            adjoint = observation.adjoint(x0)

        def covariance(w: Tensor) -> Tensor:
            return expand(scale, at) * torch.autograd.grad(x0, at, w.to(x0), retain_graph=True)[0]

        def spread(w: Tensor) -> Tensor:
            return covariance(w) if std is None else expand(gaussian_variance(affine, std**2, t), w) * w

        def system(u: Tensor) -> Tensor:
            return expand(observation.var, u) * u + observation.operator(spread(adjoint(u))) - origin

        with torch.inference_mode(False), torch.no_grad():
            origin = observation.operator(torch.zeros_like(x0))  # zero unless A has an offset
            u = _conjugate_gradients(system, observation.residual(x0), iterations)
            return put(detached(belief), field, x0 + covariance(adjoint(u)))

    return guided


def _conjugate_gradients(system: Linear, right: Tensor, iterations: int) -> Tensor:
    """u with system(u) = right, each sample `[B, ...]` on its own, from zero.

    A sample stops where it is solved to rounding, and where the curvature is not positive: a network's V is a
    covariance only as far as it has learnt to be one.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(1)

    def share(a: Tensor, b: Tensor, going: Tensor) -> Tensor:
        return expand(torch.where(going, a / torch.where(going, b, 1.0), 0.0), right)

    u, rest, way, size = torch.zeros_like(right), right, right, dot(right, right)
    floor = (8 * torch.finfo(right.dtype).eps) ** 2 * size
    for _ in range(iterations):
        image = system(way)
        curvature = dot(way, image)
        going = (size > floor) & (curvature > 0)
        step = share(size, curvature, going)
        u, rest = u + step * way, rest - step * image
        size, before = torch.where(going, dot(rest, rest), 0.0), size
        way = rest + share(size, before, going) * way
    return u
