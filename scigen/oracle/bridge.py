"""Gaussian bridges in closed form: beliefs, marginals, the Schroedinger bridge and the iterations that lead to it.

Points are rows `[B, D]`. Everything computes in float64; beliefs answer in the type of x_t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scigen.oracle.belief import Exact
from scigen.process.interpolant import Ends, TwoSided
from scigen.state import Time, as_time

__all__ = [
    "Joint",
    "bridge_belief",
    "bridge_ends",
    "bridge_marginal",
    "fit_marginals",
    "markovian",
    "schroedinger",
]


@dataclass(frozen=True)
class Joint:
    """A Gaussian law of pairs: means `[D]`, covariances `[D, D]`, and cross = Cov(x0, x1) `[D, D]`."""

    mean0: Tensor
    mean1: Tensor
    cov0: Tensor
    cov1: Tensor
    cross: Tensor


def bridge_marginal(process: TwoSided, joint: Joint, t: Time) -> tuple[Tensor, Tensor]:
    """Mean `[..., D]` and covariance `[..., D, D]` of x_t = a x0 + b x1 + c z:

    a^2 S0 + b^2 S1 + a b (C + C') + c^2 I.
    """
    u = as_time(t).double().to(joint.cov0.device)[..., None, None]
    a, b, c = process.alpha(u), process.beta(u), process.gamma(u)
    noise = c**2 * torch.eye(len(joint.mean0)).to(joint.cov0)
    cov = a**2 * joint.cov0 + b**2 * joint.cov1 + a * b * (joint.cross + joint.cross.mT) + noise
    return a[..., 0] * joint.mean0 + b[..., 0] * joint.mean1, cov


def bridge_ends(process: TwoSided, joint: Joint) -> Callable[..., Ends]:
    """Both beliefs about pairs from `joint`: E[x_i | x_t] = mean_i + Cov(x_i, x_t) Cov(x_t)^-1 (x_t - mean_t).

    Cov(x0, x_t) = a S0 + b C and Cov(x1, x_t) = a C' + b S1; the law of x_t must not be degenerate.
    """

    def denoise(x_t: Tensor, t: Time, previous: Any = None) -> Ends:
        u = as_time(t).double().to(joint.cov0.device)[..., None, None]
        a, b = process.alpha(u), process.beta(u)
        mean, cov = bridge_marginal(process, joint, t)
        pull = torch.linalg.solve(cov, (x_t.double() - mean)[..., None])
        to0 = joint.mean0 + ((a * joint.cov0 + b * joint.cross) @ pull)[..., 0]
        to1 = joint.mean1 + ((a * joint.cross.mT + b * joint.cov1) @ pull)[..., 0]
        return Ends(to0.to(x_t.dtype), to1.to(x_t.dtype))

    return denoise


def bridge_belief(process: TwoSided, joint: Joint) -> Exact:
    """The belief about x0 alone: what `ancestral` and the bridge solvers ask for."""
    ends = bridge_ends(process, joint)
    return lambda x_t, t, previous=None: ends(x_t, t).x0


def schroedinger(cov0: Tensor, cov1: Tensor, scale: float) -> Tensor:
    """Cov(x0, x1) of the Schroedinger bridge of `Brownian(scale)` between two Gaussians; at scale 0 optimal transport.

    C = S0^1/2 (S0^1/2 S1 S0^1/2 + scale^4/4 I)^1/2 S0^-1/2 - scale^2/2 I. Bunne et al. 2022, arXiv:2202.05722;
    Janati et al. 2020, arXiv:2006.02572.
    """
    root = _power(cov0, 0.5)
    eye = torch.eye(len(cov0), dtype=torch.float64)
    middle = _power(root @ cov1.double() @ root + scale**4 / 4 * eye, 0.5)
    return root @ middle @ _power(cov0, -0.5) - scale**2 / 2 * eye


def markovian(joint: Joint, scale: float, steps: int = 1000) -> Joint:
    """The pairs that the bridge's Markovian projection makes: one half-round of IMF (arXiv:2303.16852).

    The reverse SDE is linear, dx = A_t (x - mean_t) dt + scale dW with
    A_t = [(1 - t)(C + C' - S0 + scale^2 I) + t S1 - C] Cov(x_t)^-1, so that x0 = Phi x1 + noise with Phi its transition
    matrix, and the new cross-covariance is Phi S1; the ends keep their laws. The clock does not matter. Phi by
    Runge-Kutta of order 4.
    """
    s0, s1, c = joint.cov0, joint.cov1, joint.cross
    eye = torch.eye(len(s0), dtype=torch.float64)
    t = torch.linspace(1, 0, 2 * steps + 1, dtype=torch.float64)[:, None, None]
    cov = (1 - t) ** 2 * s0 + t**2 * s1 + t * (1 - t) * (c + c.mT + scale**2 * eye)
    drift = torch.linalg.solve(cov, (1 - t) * (c + c.mT - s0 + scale**2 * eye) + t * s1 - c, left=False)
    phi, h = eye, -1 / steps
    for first, middle, last in zip(drift[:-1:2], drift[1::2], drift[2::2], strict=True):
        k1 = first @ phi
        k2 = middle @ (phi + h / 2 * k1)
        k3 = middle @ (phi + h / 2 * k2)
        k4 = last @ (phi + h * k3)
        phi = phi + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return replace(joint, cross=phi @ s1)


def fit_marginals(joint: Joint, cov0: Tensor, cov1: Tensor) -> Joint:
    """One round of iterative proportional fitting: reset x1's law keeping x0 | x1, then x0's law keeping x1 | x0.

    Started from x1 = x0 + scale z it leads to the Schroedinger bridge. De Bortoli et al. 2021, arXiv:2106.01357
    """
    regress0 = torch.linalg.solve(joint.cov1, joint.cross, left=False)  # x0 = B x1 + noise
    spread0 = joint.cov0 + regress0 @ (cov1 - joint.cov1) @ regress0.mT
    cross = regress0 @ cov1
    regress1 = torch.linalg.solve(spread0, cross.mT, left=False)  # x1 = B x0 + noise
    spread1 = cov1 + regress1 @ (cov0 - spread0) @ regress1.mT
    return replace(joint, cov0=cov0, cov1=spread1, cross=(regress1 @ cov0).mT)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix.double())
    return vectors * values**exponent @ vectors.mT
