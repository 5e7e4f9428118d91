"""FastDPM: few steps from a chain trained with many, by a continuous map between its steps and its noise levels.

With beta_j linear in j, alpha-bar at step r is a ratio of Gamma functions and so defined for every real r.
Kong & Ping 2021, arXiv:2106.00132.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.solver.grids import at_logsnr

__all__ = ["ddpm", "step_grid", "variance_grid"]


def ddpm(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Affine:
    """The chain of `steps` linear betas as a process: t = r / steps and alpha^2(t) = prod_j<=r (1 - beta_j), r real.

    log alpha^2 = r log D + log Gamma(K) - log Gamma(K - r), D = (last - first) / (steps - 1), K = (1 - first) / D + 1.
    A checkpoint trained on the chain samples under it at any times. Rounding in log Gamma leaves 1e-10 in log alpha^2:
    log-SNR is right up to about 20 (t = 1e-8). Raises ValueError unless D / 2 < first < last < 1: the map turns back.
    """
    slope = (last - first) / max(steps - 1, 1)
    if not 0 < slope / 2 < first < last < 1:
        raise ValueError(
            f"betas must rise from `first` > (last - first) / (2 (steps - 1)) to `last` < 1, got {first}, {last} in "
            f"{steps} steps; DDPM's are 1e-4, 0.02 in 1000."
        )
    k = torch.tensor((1 - first) / slope + 1, dtype=torch.float64)
    tangent = float(torch.digamma(k)) + math.log(slope)

    def log_alpha_squared(t: Tensor) -> Tensor:
        r = t.double() * steps
        value = r * math.log(slope) + torch.lgamma(k.to(r)) - torch.lgamma(k - r)
        return torch.minimum(value, r * tangent)  # concave in r: below its tangent at 0, where rounding would show

    return Affine(
        lambda t: log_alpha_squared(t).to(t.dtype) / 2,
        lambda t: (-torch.expm1(log_alpha_squared(t))).log().to(t.dtype) / 2,
    )


def step_grid(chain: int, steps: int, power: int = 1) -> list[float]:
    """STEP: `steps` of the chain's own integer steps, r = round(chain (i / steps)^power), as t = r / chain, then 0.

    `power` 1 is even, 2 denser near the data. Raises ValueError if there are fewer distinct steps than asked.
    """
    chosen = {round(chain * (i / steps) ** power) for i in range(1, steps + 1)} - {0} if steps > 0 else set()
    if not 1 <= len(chosen) == steps:
        raise ValueError(f"a chain of {chain} has not {steps} distinct steps spaced by power {power}; ask for fewer.")
    return [r / chain for r in sorted(chosen, reverse=True)] + [0.0]


def variance_grid(affine: Affine, steps: int, first: float = 1e-4, power: int = 1) -> list[float]:
    """VAR: a chain of `steps` betas of its own, first (1 + c i)^power, carried to the process by log-SNR; then 0.

    c is such that prod (1 - beta_i) = alpha^2 / (alpha^2 + sigma^2) at t = 1, so the grid starts there. `power` is 1 or
    2 in the paper. Raises ValueError if no c makes the betas rise to it.
    """
    target = float(torch.nn.functional.logsigmoid(affine.logsnr(1.0)))
    index = torch.arange(steps, dtype=torch.float64)
    reach = ((1 - 1e-12) / first) ** (1 / power) - 1  # the last beta at 1
    low, high = 0.0, reach / max(steps - 1, 1)

    def logs(c: float) -> Tensor:
        return torch.log1p(-first * (1 + c * index) ** power)

    if steps < 2 or not float(logs(high).sum()) < target < float(logs(low).sum()):
        raise ValueError(
            f"{steps} betas rising from {first} cannot reach log alpha^2 = {target:.4g}; take two or more steps, a "
            "smaller `first`, and a process that keeps a trace of the data at t = 1 (VP)."
        )
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float(logs(middle).sum()) > target else (low, middle)
    kept = logs(low).cumsum(0)[:-1].flip(0)
    levels = kept - (-torch.expm1(kept)).log()
    return [1.0, *at_logsnr(affine, levels.tolist()), 0.0]
