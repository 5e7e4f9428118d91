"""Affine processes: x_t = alpha(t) x0 + sigma(t) x1, with t = 0 data and t = 1 source.

The marginal is a Gaussian blur, so everything follows from the two curves: logsnr = log(alpha^2 / sigma^2), drift
f = alpha'/alpha, diffusion g^2 = -sigma^2 logsnr'. Song et al. 2021, arXiv:2011.13456; Kingma et al., arXiv:2107.00630.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from scigen.state import Rng, Time, as_time, expand, normal

__all__ = ["Affine", "Curve", "cosine", "derivative", "rectified", "subvp", "ve", "vp"]

Curve: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Affine:
    """A pair of curves on [0, 1]: `log_alpha` and `log_sigma`.

    The logarithms are the primitive, so that logsnr keeps its precision where alpha or sigma vanish (-inf there).
    """

    log_alpha: Curve
    log_sigma: Curve

    def alpha(self, t: Time) -> Tensor:
        """Weight of the data."""
        return self.log_alpha(as_time(t)).exp()

    def sigma(self, t: Time) -> Tensor:
        """Weight of the unit-variance source."""
        return self.log_sigma(as_time(t)).exp()

    def half_logsnr(self, t: Time) -> Tensor:
        """log(alpha / sigma), the clock of DPM-Solver."""
        t = as_time(t)
        return self.log_alpha(t) - self.log_sigma(t)

    def logsnr(self, t: Time) -> Tensor:
        """log(alpha^2 / sigma^2), what a network is conditioned on."""
        return 2 * self.half_logsnr(t)

    def d_alpha(self, t: Time) -> Tensor:
        """d alpha / dt."""
        return derivative(self.alpha, as_time(t))

    def d_sigma(self, t: Time) -> Tensor:
        """d sigma / dt."""
        return derivative(self.sigma, as_time(t))

    def drift(self, t: Time) -> Tensor:
        """f in dx = f x dt + g dW: alpha' / alpha."""
        return derivative(self.log_alpha, as_time(t))

    def diffusion_squared(self, t: Time) -> Tensor:
        """g^2 in dx = f x dt + g dW: -sigma^2 logsnr' = (sigma^2)' - 2 f sigma^2."""
        t = _inside(as_time(t))
        return -(self.sigma(t) ** 2) * derivative(self.logsnr, t)

    def scale(self, t: Time, std: float = 1.0) -> Tensor:
        """Standard deviation of x_t when each data coordinate has standard deviation `std`."""
        return torch.hypot(self.alpha(t) * std, self.sigma(t))

    def source(self, like: Tensor, rng: Rng) -> Tensor:
        """Start of the reverse chain, sigma(1) z."""
        return expand(self.sigma(1.0), like) * normal(like, rng)

    def noise(self, x0: Tensor, x1: Tensor, t: Time, rng: Rng | None = None) -> Tensor:
        """x_t = alpha(t) x0 + sigma(t) x1, with `x1` of unit variance in the independent coupling; draws nothing."""
        return expand(self.alpha(t), x0) * x0 + expand(self.sigma(t), x0) * x1

    def step(self, x_t: Tensor, x0: Tensor, t: Time, s: Time, rng: Rng) -> Tensor:
        """Exact draw of q(x_s | x_t, x0) for s < t: ancestral sampling, DDPM's beta~ variance (arXiv:2006.11239)."""
        gap = self.logsnr(t) - self.logsnr(s)  # <= 0, and -inf where either end is pure: every factor below is finite
        ratio = self.sigma(s) / self.sigma(t) * (gap / 2).exp()  # sigma_s^2 alpha_{t|s} / sigma_t^2
        fresh = self.sigma(s) * (-torch.expm1(gap)).sqrt()
        mean = expand(self.alpha(s), x_t) * x0 + expand(ratio, x_t) * (x_t - expand(self.alpha(t), x_t) * x0)
        return mean + expand(fresh, x_t) * normal(x_t, rng)

    def time_of_logsnr(self, logsnr: Tensor) -> Tensor:
        """The t in [0, 1] at which logsnr(t) equals the given values (bisection in float64; ends are clamped)."""
        target = logsnr.double()
        low, high = torch.zeros_like(target), torch.ones_like(target)
        for _ in range(100):
            middle = (low + high) / 2
            above = self.logsnr(middle) > target
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return (low + high) / 2


def vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Affine:
    """Variance preserving, linear beta: log alpha = -t^2 (beta_max - beta_min)/4 - t beta_min/2, sigma^2 = 1 - alpha^2.

    alpha(1) = 0.0066, not 0: the source keeps a trace of the data (logsnr -10.05). arXiv:2011.13456
    """
    _check_beta(beta_min, beta_max)
    return Affine(
        lambda t: _vp_log_alpha(t, beta_min, beta_max),
        lambda t: _log_one_minus_exp(2 * _vp_log_alpha(t, beta_min, beta_max)) / 2,
    )


def subvp(beta_min: float = 0.1, beta_max: float = 20.0) -> Affine:
    """Sub-VP: alpha of `vp`, sigma = 1 - alpha^2, variance below VP's everywhere. arXiv:2011.13456"""
    _check_beta(beta_min, beta_max)
    return Affine(
        lambda t: _vp_log_alpha(t, beta_min, beta_max),
        lambda t: _log_one_minus_exp(2 * _vp_log_alpha(t, beta_min, beta_max)),
    )


def ve(sigma_min: float = 0.01, sigma_max: float = 50.0) -> Affine:
    """Variance exploding: alpha = 1, sigma = sigma_min (sigma_max / sigma_min)^t, in the data's units.

    arXiv:2011.13456. sigma(0) = sigma_min, not 0: take the belief, not x, at the end of a chain.
    """
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"`sigma_min` must lie in (0, sigma_max), got {sigma_min} with sigma_max={sigma_max}.")
    low, span = math.log(sigma_min), math.log(sigma_max / sigma_min)
    return Affine(torch.zeros_like, lambda t: low + span * t)


def cosine() -> Affine:
    """Cosine schedule: alpha = cos(pi t / 2), sigma = sin(pi t / 2). arXiv:2102.09672"""
    # cos(pi t / 2) = sin(pi (1 - t) / 2) reaches exactly 0 at t = 1 in floating point; cos itself stops at 6e-17.
    return Affine(
        lambda t: (torch.sin((1 - t) * (math.pi / 2))).log(),
        lambda t: (torch.sin(t * (math.pi / 2))).log(),
    )


def rectified() -> Affine:
    """Rectified (linear) flow: alpha = 1 - t, sigma = t. arXiv:2209.03003"""
    return Affine(lambda t: torch.log1p(-t), torch.log)


def _check_beta(beta_min: float, beta_max: float) -> None:
    if not 0 < beta_min <= beta_max:
        raise ValueError(f"`beta_min` must lie in (0, beta_max], got {beta_min} with beta_max={beta_max}; try 0.1, 20.")


def _vp_log_alpha(t: Tensor, beta_min: float, beta_max: float) -> Tensor:
    return -(t**2) * (beta_max - beta_min) / 4 - t * beta_min / 2


def _log_one_minus_exp(x: Tensor) -> Tensor:
    """log(1 - e^x) for x <= 0, accurate at both ends."""
    return torch.log(-torch.expm1(x))


def _inside(t: Tensor) -> Tensor:
    """One rounding unit inside [0, 1]: at the ends the logarithms are infinite and derivatives 0 times inf."""
    eps = torch.finfo(t.dtype).eps
    return t.clamp(eps, 1 - eps)


def derivative(f: Curve, t: Tensor) -> Tensor:
    """f'(t) at every t, by reverse mode: torch.func would import a compiler (seconds) for microseconds of work.

    Under a torch.func transform, take the derivatives of the curves before entering it.
    """
    wanted = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        u = _inside(t).detach().clone()
        learned = wanted and f(u).requires_grad  # a schedule with parameters needs the graph of its derivative
        u.requires_grad_()
        total = (f(u) + 0 * u).sum()  # each value depends on its own t alone; a constant curve on none
        return torch.autograd.grad(total, u, create_graph=learned)[0]
