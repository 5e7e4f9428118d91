"""Exact log-likelihood of a denoiser's probability-flow ODE.

Change of variables along the flow: d log p / dt = -div v on the path. Song et al. 2021, arXiv:2011.13456; Grathwohl et
al. 2019, arXiv:1810.01367. All affine processes are one: in z = x_t / sqrt(alpha^2 + sigma^2), with the angle
phi = arctan(sigma / alpha) as clock, z = cos(phi) x0 + sin(phi) x1 and
    dz / dphi = (cos(phi) z - x0hat) / sin(phi),
smooth over the whole range, while t is steep at one end or the other. So every process gives the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.likelihood.divergence import Divergence, exact
from scigen.likelihood.integrate import dormand_prince
from scigen.likelihood.space import Space, whole
from scigen.process.affine import Affine
from scigen.state import State, Time

__all__ = ["LogLikelihood", "bits_per_dim", "given", "log_likelihood"]


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
    affine: Affine,
    denoise: Denoiser,
    x0: Tensor,
    space: Space | None = None,
    divergence: Divergence = exact,
    prior: Callable[[Tensor], Tensor] | None = None,
    levels: tuple[float, float] = (-20.0, 20.0),
    tol: float = 1e-5,
) -> LogLikelihood:
    """log p(x0) of `x0 [B, ...]` between two log-SNR levels, cut to those that the process reaches.

    The density is that of the data blurred by noise of variance e^-levels[1] (2e-9 unless given). At the other end
    stands `prior`, a log-density `[B]` of x_T; unless given N(0, sigma^2), from which samplers start. That choice is a
    bias no tolerance removes: log p_T(x_T) - log N(x_T; 0, sigma^2), some 1e-2 under VP, whose logsnr(1) is -10.05.
    `denoise` sees tensors; for a field of a `State` see `given`, and `centred` for its space. `tol` is relative and
    absolute, for z and the log-density alike. Raises ValueError for a process without this ODE or an empty range.
    """
    if not isinstance(affine, Affine):
        raise ValueError(f"{type(affine).__name__} has no probability-flow ODE; give the affine part of one field.")
    low, high = max(levels[0], float(affine.logsnr(1.0))), min(levels[1], float(affine.logsnr(0.0)))
    if not low < high:
        raise ValueError(f"`levels` must rise within the process's log-SNR, got {levels} cut to ({low}, {high}).")
    space, near, far = space or whole(x0), _angle(high), _angle(low)

    def slope(y: Tensor, angle: float) -> Tensor:
        t = _time_of(affine, angle)
        stretch, c = float(affine.scale(t)), math.cos(angle)
        z = space.project(y[:, :-1].reshape(x0.shape))
        belief, div = divergence(lambda u: space.project(denoise(space.project(u) * stretch, t)), z)
        return torch.cat([(c * z - belief).flatten(1), (c * space.dim - div)[:, None]], 1) / math.sin(angle)

    y = torch.cat([math.cos(near) * space.project(x0).flatten(1), x0.new_zeros(len(x0), 1)], 1)
    y, spent = dormand_prince(slope, y, near, far, tol)
    last = float(affine.scale(_time_of(affine, far)))
    x_T = last * y[:, :-1].reshape(x0.shape)
    density = _log_normal(x_T, last * math.sin(far), space.dim) if prior is None else prior(x_T)
    return LogLikelihood(density, y[:, -1] + space.dim * math.log(last * math.cos(near)), x_T, spent)


def given(denoise: Denoiser, x: State, field: str = "pos") -> Denoiser:
    """The belief about one continuous field of `x` as a function of that field alone, the others held as they are.

    Under a `Product` the flow of the coordinates given the tokens is an ODE, that of the tokens is not: the density is
    p(field | the rest) of the flow so held, which is not the joint chain's own conditional.
    """

    def one(x_t: Tensor, t: Time, previous: Belief | None = None) -> Any:
        return denoise(x.replace(**{field: x_t}), t, previous)[field]

    return one


def bits_per_dim(log_p: Tensor, dim: Tensor | int, resolution: float = 1.0) -> Tensor:
    """-log_p / (dim log 2) + log2(resolution); `resolution` is grid values per unit of x (127.5 for bytes on [-1, 1])."""
    return -log_p / (dim * math.log(2)) + math.log2(resolution)


def _angle(logsnr: float) -> float:
    return math.atan(math.exp(-logsnr / 2))


def _time_of(affine: Affine, angle: float) -> float:
    """The t with sigma / alpha = tan(angle), as `Affine.time_of_logsnr` but 512 sections at a time: one t per slope."""
    level, t, width = -2 * math.log(math.tan(angle)), 0.0, 1.0
    for _ in range(9):
        points = t + width * torch.linspace(0, 1, 513, dtype=torch.float64)
        above = int((affine.logsnr(points) > level).sum())
        t, width = float(points[max(above - 1, 0)]), width / 512
    return t


def _log_normal(x: Tensor, std: float, dim: Tensor) -> Tensor:
    return -(x / std).square().flatten(1).sum(1) / 2 - dim * math.log(2 * math.pi * std**2) / 2
