"""Exact log-likelihood of a denoiser's probability-flow ODE.

Change of variables along the flow: d log p / dt = -div v on the path. Song et al. 2021, arXiv:2011.13456; Grathwohl et
al. 2019, arXiv:1810.01367. The flow is that of `rk45`, in z = x_t / sqrt(alpha^2 + sigma^2) with the angle
phi = arctan(sigma / alpha) as clock, dz / dphi = (cos(phi) z - x0hat) / sin(phi): the same for every affine process.
Between the same noise levels they all give the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.likelihood.divergence import Divergence, exact
from scigen.process.affine import Affine
from scigen.process.free import field_of, free_entries, parts_of
from scigen.process.product import Product
from scigen.solver.integral import time_at
from scigen.solver.runge_kutta import dormand_prince
from scigen.state import as_time, expand

__all__ = ["LogLikelihood", "bits_per_dim", "log_likelihood"]


@dataclass(frozen=True)
class LogLikelihood:
    """`log_p [B]` in nats, with its two parts, the end of each path `x_T`, and the denoiser evaluations spent."""

    prior: Tensor
    volume: Tensor
    x_T: Tensor
    evaluations: int

    @property
    def log_p(self) -> Tensor:
        """log p(x0) = prior + volume."""
        return self.prior + self.volume


@torch.no_grad()
def log_likelihood(
    process: Affine | Product,
    denoise: Denoiser,
    x0: Any,
    field: str = "",
    divergence: Divergence = exact,
    prior: Callable[[Tensor], Tensor] | None = None,
    levels: tuple[float, float] = (-20.0, 20.0),
    tol: float = 1e-5,
) -> LogLikelihood:
    """log p(x0) of a tensor `[B, ...]`, or of the affine `field` of a state given its other fields, held as they are.

    The flow runs between two log-SNR levels, cut to the process's own. The density is that of the data blurred by noise
    of variance e^-levels[1] (2e-9 unless given). At the other end stands `prior`, a log-density `[B]` of x_T, or else
    N(0, sigma^2), from which samplers start: a bias of log p_T(x_T) - log N(x_T; 0, sigma^2) that no tolerance removes,
    some 1e-2 under VP, whose logsnr(1) is -10.05. Volumes are those of the subspace that the process projects on: n
    centred nodes have (n - 1) D dimensions. Clean tokens held beside noisy coordinates are not the joint chain's, whose
    tokens follow no ODE: `chain_nelbo` bounds those. Raises ValueError for a field without an ODE and an empty range.
    """
    affine, like = parts_of(process).get(field), field_of(x0, field)
    if not isinstance(affine, Affine):
        raise ValueError(f"field {field!r} has no affine process, so no ODE; there are {list(parts_of(process))}.")
    low, high = _cut(levels, affine)
    near, far, dim = _angle(high), _angle(low), free_entries(process, x0, field).count.to(like)
    held = _Held(process, denoise, x0, field)

    def slope(y: Tensor, phi: Tensor) -> Tensor:
        t = time_at(affine, -phi.tan().log(), 0.0, 1.0)
        z, c = held.project(y[:, :-1].reshape(like.shape)), expand(phi.cos(), y)
        x0hat, div = divergence(lambda u: held.belief(u, affine.scale(t), t), z)
        velocity = torch.cat([c * z.flatten(1) - x0hat.flatten(1), c * dim[:, None] - div[:, None]], 1)
        return velocity / expand(phi.sin(), y)

    y = torch.cat([math.cos(near) * held.project(like).flatten(1), like.new_zeros(len(like), 1)], 1)
    y, _, calls = dormand_prince(slope, y, near, far, tol, tol)
    last = float(affine.scale(affine.time_of_logsnr(as_time(low))))
    x_T = last * held.project(y[:, :-1].reshape(like.shape))
    density = _log_normal(x_T, last * math.sin(far), dim) if prior is None else prior(x_T)
    return LogLikelihood(density, y[:, -1] + dim * math.log(last * math.cos(near)), x_T, calls)


def bits_per_dim(log_p: Tensor, dim: Tensor | int, resolution: float = 1.0) -> Tensor:
    """-log_p / (dim log 2) + log2(resolution), with `resolution` values per unit of x: 127.5 for bytes on [-1, 1]."""
    return -log_p / (dim * math.log(2)) + math.log2(resolution)


@dataclass(frozen=True)
class _Held:
    """The belief about one field as a function of that field alone, on the process's constraint."""

    process: Affine | Product
    denoise: Denoiser
    x: Any
    field: str

    def state(self, u: Tensor) -> Any:
        return self.process.project(self.x.replace(**{self.field: u})) if isinstance(self.process, Product) else u

    def project(self, u: Tensor) -> Tensor:
        return field_of(self.state(u), self.field)

    def belief(self, z: Tensor, scale: Tensor, t: Tensor) -> Tensor:
        x_t = self.state(expand(scale, z) * z)
        return self.project(field_of(self.denoise(x_t, t), self.field))


def _cut(levels: tuple[float, float], affine: Affine) -> tuple[float, float]:
    low, high = max(levels[0], float(affine.logsnr(1.0))), min(levels[1], float(affine.logsnr(0.0)))
    if not low < high:
        raise ValueError(f"`levels` must rise within the process's log-SNR, got {levels} cut to ({low}, {high}).")
    return low, high


def _angle(logsnr: float) -> float:
    return math.atan(math.exp(-logsnr / 2))


def _log_normal(x: Tensor, std: float, dim: Tensor) -> Tensor:
    return -(x / std).square().flatten(1).sum(1) / 2 - dim * math.log(2 * math.pi * std**2) / 2
