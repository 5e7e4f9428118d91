"""The best grid of a given number of steps: dynamic programming over the terms of the evidence lower bound.

A step from t to s costs KL(q(x_s | x_t, x0) || p(x_s | x_t)), and the bound is the sum over the steps, so the best path
of k steps extends a best path of k - 1: D[k, s] = min_t D[k - 1, t] + L(t, s).
Watson et al. 2021, arXiv:2106.03802; with optimal variances Bao et al. 2022, arXiv:2201.06503.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from scigen.process.affine import Affine

__all__ = ["Price", "best_path", "fixed_variance", "optimal_variance", "step_costs", "step_search"]

Price: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (SNR_s - SNR_t, mean squared error of the belief at t) -> nats


def fixed_variance(gain: Tensor, error: Tensor) -> Tensor:
    """The KL term of `ancestral`, per coordinate: (SNR_s - SNR_t) E |x0 - x0hat|^2 / 2. arXiv:2107.00630"""
    return gain * error / 2


def optimal_variance(gain: Tensor, error: Tensor) -> Tensor:
    """The KL term of `analytic`, per coordinate: log(variance / beta~) / 2 = log(1 + (SNR_s - SNR_t) E |.|^2) / 2."""
    return torch.log1p(gain * error) / 2


def step_costs(affine: Affine, error: Mapping[float, float], price: Price = fixed_variance) -> Tensor:
    """`[T, T]` in nats a coordinate: entry (i, j) steps from the i-th to the j-th of the falling times of `error`.

    Infinite where the step would not fall. Raises ValueError when the last time has no noise: its SNR is infinite.
    """
    times = torch.tensor(sorted(error, reverse=True), dtype=torch.float64)
    snr = affine.logsnr(times).exp()
    if not bool(snr.isfinite().all()):
        raise ValueError(f"the log-SNR at t={float(times[-1])} is infinite and so is the bound; stop at 1e-3, say.")
    errors = torch.tensor([error[t] for t in times.tolist()], dtype=torch.float64)
    gain = snr[None, :] - snr[:, None]
    falls = torch.ones_like(gain).triu(1).bool()
    return torch.where(falls, price(gain.clamp(min=0), errors[:, None]), torch.inf)


def best_path(costs: Tensor, steps: int) -> tuple[list[int], float]:
    """The cheapest way from the first to the last of T points in exactly `steps` moves, and its cost.

    Raises ValueError unless 1 <= steps < T.
    """
    if not 1 <= steps < len(costs):
        raise ValueError(f"`steps` must lie in [1, {len(costs) - 1}] for {len(costs)} times, got {steps}.")
    total, origins = costs[0], []
    for _ in range(steps - 1):
        total, origin = (total[:, None] + costs).min(0)
        origins.append(origin.tolist())
    path = [len(costs) - 1]
    for origin in reversed(origins):
        path.append(origin[path[-1]])
    return [0, *reversed(path)], float(total[-1])


def step_search(
    affine: Affine, error: Mapping[float, float], steps: int, price: Price = fixed_variance
) -> tuple[list[float], float]:
    """The grid of `steps` intervals among the times of `error` with the tightest bound, and that bound.

    `error` is the belief's mean squared error by time (`analytic.belief_error`). The grid runs from the largest of the
    times to the smallest, ends included; the bound is in nats a coordinate, without the prior and decoder terms.
    """
    path, bound = best_path(step_costs(affine, error, price), steps)
    times = sorted(error, reverse=True)
    return [times[i] for i in path], bound
