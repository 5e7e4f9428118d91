"""Exact beliefs about x0 in closed form: denoisers without a network, which every solver is tested against.

All compute in float64 and answer in the type of x_t. As everywhere x_t = alpha(t) x0 + sigma(t) x1, x1 ~ N(0, I).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.process.categorical import Categorical
from scigen.state import Time, expand

__all__ = [
    "condition",
    "gaussian",
    "gaussian_path",
    "gaussian_variance",
    "mixture",
    "mixture_covariance",
    "tokens",
]

Exact: TypeAlias = Callable[..., Tensor]  # a `Denoiser` of one tensor field: (x_t, t, previous=None) -> belief


def gaussian(affine: Affine, mean: float | Tensor, var: float | Tensor) -> Exact:
    """Data of independent N(mean, var) coordinates: E[x0 | x_t] = mean + a var (x_t - a mean) / (a^2 var + s^2).

    `mean` and `var` broadcast against x_t `[B, ...]`.
    """

    def denoise(x_t: Tensor, t: Time, previous: Any = None) -> Tensor:
        x = x_t.double()
        a, s = expand(affine.alpha(t), x), expand(affine.sigma(t), x)
        return (mean + a * var / (a**2 * var + s**2) * (x - a * mean)).to(x_t.dtype)

    return denoise


def gaussian_variance(affine: Affine, var: float | Tensor, t: Time) -> Tensor:
    """Var[x0 | x_t] = var s^2 / (a^2 var + s^2), the same for every x_t."""
    a, s = affine.alpha(t), affine.sigma(t)
    return var * s**2 / (a**2 * var + s**2)


def gaussian_path(affine: Affine, mean: float | Tensor, var: float | Tensor, x_t: Tensor, t: Time, s: Time) -> Tensor:
    """Where the probability-flow ODE carries x_t from time t to s: it keeps (x - alpha mean) / std(x_t) constant."""
    x = x_t.double()
    (a, b), (a_s, b_s) = ((expand(affine.alpha(u), x), expand(affine.sigma(u), x)) for u in (t, s))
    ratio = ((a_s**2 * var + b_s**2) / (a**2 * var + b**2)) ** 0.5
    return (a_s * mean + ratio * (x - a * mean)).to(x_t.dtype)


def mixture(affine: Affine, weights: Tensor, means: Tensor, covariances: Tensor) -> Exact:
    """Data of a Gaussian mixture, weights `[K]`, means `[K, D]`, covariances `[K, D, D]`; x_t `[B, D]`.

    With C_k = a^2 A_k + s^2 I, d_k = x_t - a mu_k and r_k ∝ w_k N(d_k; 0, C_k):
    E[x0 | x_t] = sum r_k (mu_k + a A_k C_k^-1 d_k).
    """

    def denoise(x_t: Tensor, t: Time, previous: Any = None) -> Tensor:
        r, m, _ = _components(affine, weights, means, covariances, x_t.double(), t)
        return (r[..., None] * m).sum(1).to(x_t.dtype)

    return denoise


def mixture_covariance(
    affine: Affine, weights: Tensor, means: Tensor, covariances: Tensor, x_t: Tensor, t: Time
) -> Tensor:
    """Cov[x0 | x_t] `[B, D, D]`: A_k - a^2 A_k C_k^-1 A_k within each component plus the spread between them."""
    r, m, within = _components(affine, weights, means, covariances, x_t.double(), t)
    off = m - (r[..., None] * m).sum(1, keepdim=True)
    spread = off[..., :, None] * off[..., None, :]  # [B, K, D, D]
    return (r[..., None, None] * (within + spread)).sum(1).to(x_t.dtype)


def tokens(process: Categorical, joint: Tensor) -> Exact:
    """Tokens x_t `[B, n]` whose data law is the table `joint`, n axes of K classes: p(x0_i | x_t), `[B, n, K]`.

    p(x0 | x_t) ∝ joint(x0) prod_i Qbar_t(x0_i, x_t_i), Qbar = keep I + (1 - keep) 1 m', all K^n entries enumerated.
    """

    def denoise(x_t: Tensor, t: Time, previous: Any = None) -> Tensor:
        n, m = joint.dim(), process.m.double().to(x_t.device)
        keep = process.keep(torch.as_tensor(t, dtype=torch.float64)).reshape(-1, 1, 1)
        here = torch.nn.functional.one_hot(x_t, len(m)).double()
        likelihood = keep * here + (1 - keep) * m[x_t].unsqueeze(-1)  # Qbar_t(x0, x_t), [B, n, K]
        p = joint.double().to(x_t.device).unsqueeze(0)
        for i in range(n):
            p = p * likelihood[:, i].reshape(len(x_t), *(len(m) if j == i else 1 for j in range(n)))
        sums = [p.sum([j + 1 for j in range(n) if j != i]) if n > 1 else p for i in range(n)]
        p0 = torch.stack(sums, 1)
        return p0 / p0.sum(-1, keepdim=True)

    return denoise


def condition(mean: Tensor, covariance: Tensor, observed: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unobserved coordinates of N(mean `[D]`, covariance `[D, D]`) given the observed ones.

    mu_a + S_ab S_bb^-1 (value - mu_b) and S_aa - S_ab S_bb^-1 S_ba; `observed [D]` is boolean, `value` holds the
    observed entries in order.
    """
    a, b = ~observed, observed
    gain = torch.linalg.solve(covariance[b][:, b], covariance[b][:, a]).mT
    return mean[a] + gain @ (value - mean[b]), covariance[a][:, a] - gain @ covariance[b][:, a]


def _components(
    affine: Affine, weights: Tensor, means: Tensor, covariances: Tensor, x: Tensor, t: Time
) -> tuple[Tensor, Tensor, Tensor]:
    """Responsibilities `[B, K]`, means `[B, K, D]`, covariances `[B or 1, K, D, D]` of x0 given x_t, by component."""
    w, mu, cov = (y.to(x) for y in (weights, means, covariances))
    a, s = (u.to(x).reshape(-1, 1, 1, 1) for u in (affine.alpha(t), affine.sigma(t)))
    lower = torch.linalg.cholesky(a**2 * cov + s**2 * torch.eye(x.shape[-1]).to(x))
    d = x[:, None] - a[..., 0] * mu
    pull = torch.cholesky_solve(d[..., None], lower)  # C^-1 d, [B, K, D, 1]
    log_r = w.log() - (d * pull[..., 0]).sum(-1) / 2 - lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    within = cov - a**2 * cov @ torch.cholesky_solve(cov.expand_as(lower), lower)
    return log_r.softmax(-1), mu + a[..., 0] * (cov @ pull)[..., 0], within
