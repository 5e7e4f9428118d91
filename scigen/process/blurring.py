"""Blurring: heat spreads over a fixed graph while noise comes in, each mode of the Laplacian at its own rate.

In the modes u = V' x every coordinate is affine with a curve of its own: u_k(t) = alpha_k(t) u_k(0) + sigma(t) z_k,
alpha_k = alpha(t) e^(-lambda_k tau(t)), tau(t) = (blur^2 / 2) sin^2(pi t / 2). Coarse shape outlives detail, as in an
image that goes out of focus. Hoogeboom & Salimans 2022, arXiv:2209.05557; Rissanen et al. 2022, arXiv:2206.13397.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.state import Rng, Time, as_time, expand, normal

__all__ = ["Blurring", "column", "laplacian_modes", "path_modes"]


@dataclass(frozen=True)
class Blurring:
    """`affine` noise on fields `[B, N, D]`, and blur of width `blur` over the graph with Laplacian modes `basis`.

    `basis [N, N]` holds one orthonormal mode a column and `rates [N]` its eigenvalue lambda_k >= 0. One fixed graph for
    all samples: no padding. blur = 0 is `affine`; alpha = 1 with a small constant sigma, inverse heat dissipation.
    Raises ValueError if `basis` is not orthonormal or a rate or the blur is negative.
    """

    affine: Affine
    basis: Tensor
    rates: Tensor
    blur: float = 3.0

    def __post_init__(self) -> None:
        n = len(self.rates)
        if self.basis.shape != (n, n) or not torch.allclose(self.basis.mT @ self.basis, torch.eye(n).to(self.basis)):
            raise ValueError(f"`basis` {tuple(self.basis.shape)} must hold {n} orthonormal columns, one for each rate.")
        if self.blur < 0 or bool((self.rates < -1e-9).any()):
            raise ValueError(f"`blur` and `rates` must not be negative, got {self.blur} and {float(self.rates.min())}.")

    def half_logsnr(self, t: Time) -> Tensor:
        """log(alpha_k / sigma) of every mode, `[N]` or `[B, N]`: it falls with t, faster for rough modes."""
        return self.affine.half_logsnr(t)[..., None] - self._dissipation(t)

    def alpha(self, t: Time) -> Tensor:
        """alpha_k(t), `[N]` or `[B, N]`."""
        return self.affine.alpha(t)[..., None] * (-self._dissipation(t)).exp()

    def sigma(self, t: Time) -> Tensor:
        """sigma(t), the same for every mode: `[1]` or `[B, 1]`."""
        return self.affine.sigma(t)[..., None]

    def modes(self, x: Tensor) -> Tensor:
        """u = V' x, `[B, N, D]`."""
        return self.basis.to(x).mT @ x

    def points(self, u: Tensor) -> Tensor:
        """x = V u, `[B, N, D]`."""
        return self.basis.to(u) @ u

    def source(self, like: Tensor, rng: Rng) -> Tensor:
        """sigma(1) z, the start of a chain whose data is drowned at t = 1; else ValueError says how to start."""
        loudest = float(self.half_logsnr(1.0).max())
        if loudest > -1:
            raise ValueError(
                f"a mode keeps a log-SNR of {2 * loudest:.3g} at t=1, so noise alone is no start; "
                "blur samples of the data with `noise(x0, x1, 1.0)`."
            )
        return expand(self.affine.sigma(1.0), like) * normal(like, rng)

    def noise(self, x0: Tensor, x1: Tensor, t: Time, rng: Rng | None = None) -> Tensor:
        """x_t = V diag(alpha_k) V' x0 + sigma x1, x1 of unit variance; draws nothing."""
        return self.points(column(self.alpha(t), x0) * self.modes(x0)) + expand(self.affine.sigma(t), x0) * x1

    def step(self, x_t: Tensor, x0: Tensor, t: Time, s: Time, rng: Rng) -> Tensor:
        """Exact draw of q(x_s | x_t, x0), mode by mode: `Affine.step` with the mode's own log-SNR."""
        gap = 2 * (self.half_logsnr(t) - self.half_logsnr(s))  # <= 0, -inf where an end is pure
        ratio = self.sigma(s) / self.sigma(t) * (gap / 2).exp()
        fresh = self.sigma(s) * (-torch.expm1(gap)).sqrt()
        u_t, u_0 = self.modes(x_t), self.modes(x0)
        mean = column(self.alpha(s), x_t) * u_0 + column(ratio, x_t) * (u_t - column(self.alpha(t), x_t) * u_0)
        return self.points(mean + column(fresh, x_t) * self.modes(normal(x_t, rng)))

    def _dissipation(self, t: Time) -> Tensor:
        """lambda_k tau(t): the logarithm of what heat takes from each mode."""
        t = as_time(t)
        tau = self.blur**2 / 2 * torch.sin(t * (math.pi / 2)) ** 2
        return tau[..., None] * self.rates.to(t).clamp(min=0)


def column(c: Tensor, like: Tensor) -> Tensor:
    """Coefficients of modes `[N]` or `[B, N]`, shaped to multiply `like [B, N, D]` and cast to its type."""
    return c.to(like)[..., None]


def path_modes(n: int) -> tuple[Tensor, Tensor]:
    """Modes and rates of a chain of n points, in float64: cosines, lambda_k = 2 - 2 cos(pi k / n)."""
    k, i = torch.arange(n, dtype=torch.float64), torch.arange(n, dtype=torch.float64)[:, None]
    basis = torch.cos(math.pi * k * (i + 0.5) / n) * (2 / n) ** 0.5
    basis[:, 0] = n**-0.5
    return basis, 2 - 2 * torch.cos(math.pi * k / n)


def laplacian_modes(adjacency: Tensor) -> tuple[Tensor, Tensor]:
    """Modes and rates of any graph: eigenvectors of diag(degree) - adjacency, `adjacency [N, N]` symmetric weights.

    Raises ValueError if it is not symmetric.
    """
    if adjacency.dim() != 2 or not torch.equal(adjacency, adjacency.mT):
        raise ValueError(f"`adjacency` must be a symmetric matrix, got shape {tuple(adjacency.shape)}.")
    weights = adjacency.double()
    rates, basis = torch.linalg.eigh(torch.diag(weights.sum(1)) - weights)
    return basis, rates.clamp(min=0)
