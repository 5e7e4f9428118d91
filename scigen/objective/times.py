"""How often each noise level is seen: laws of t, one draw per equal slice of the law to steady the loss of a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scigen.process.affine import Affine

__all__ = ["even_times", "late_times", "level_times", "lognormal_times"]


def even_times(count: int, rng: torch.Generator) -> Tensor:
    """t_i = (u + i / count) mod 1 with one u: each uniform on [0, 1), together evenly spread, `[count]`.

    arXiv:2107.00630, appendix I.1
    """
    u = torch.rand((), generator=rng, device=rng.device, dtype=torch.float64)
    return (u + torch.arange(count, device=rng.device, dtype=torch.float64) / count) % 1


def late_times(count: int, rng: torch.Generator) -> Tensor:
    """t ~ Beta(1, 2), density 2 (1 - t): more mass near the data, where bond lengths are decided. `[count]` in (0, 1).

    Stratified over the batch (one draw per 1/count slice of the law), which lowers the variance of the loss.
    """
    offset = torch.rand(count, generator=rng, device=rng.device)
    u = (torch.arange(count, device=rng.device) + offset) / count
    return (1 - (1 - u).sqrt()).clamp(1e-4, 1 - 1e-4)


def level_times(affine: Affine, count: int, rng: torch.Generator, low: float = -10.0, high: float = 10.0) -> Tensor:
    """t at log-SNR uniform on [low, high]: the density -logsnr' = g^2 / sigma^2 that score flow samples by, `[count]`.

    Under it the bound weighs an error of epsilon by the constant (high - low) / 2. Levels the process does not reach
    are cut off. arXiv:2101.09258, arXiv:2107.00630. Raises ValueError for an empty range.
    """
    low, high = max(low, float(affine.logsnr(1.0))), min(high, float(affine.logsnr(0.0)))
    if not low < high:
        raise ValueError(f"`low` must be below `high` within the process's log-SNR, got {low} and {high}.")
    return affine.time_of_logsnr(low + (high - low) * even_times(count, rng))


def lognormal_times(
    affine: Affine, count: int, rng: torch.Generator, mean: float = -1.2, std: float = 1.2
) -> Tensor:
    """t at log(sigma / alpha) ~ N(mean, std^2), sigma in units of the data, `[count]`: EDM's. arXiv:2206.00364

    Levels beyond the process's reach fall on its ends.
    """
    normal = math.sqrt(2) * torch.erfinv(2 * even_times(count, rng).clamp(1e-9, 1 - 1e-9) - 1)
    return affine.time_of_logsnr(-2 * (mean + std * normal))
