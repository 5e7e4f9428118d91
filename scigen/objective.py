"""Training objectives: how often each noise level is seen and how its error counts."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["late_times", "truncated_snr"]


def late_times(count: int, rng: torch.Generator) -> Tensor:
    """t ~ Beta(1, 2), density 2 (1 - t): more mass near the data, where bond lengths are decided. `[count]` in (0, 1).

    Stratified over the batch (one draw per 1/count slice of the law), which lowers the variance of the loss.
    """
    offset = torch.rand(count, generator=rng, device=rng.device)
    u = (torch.arange(count, device=rng.device) + offset) / count
    return (1 - (1 - u).sqrt()).clamp(1e-4, 1 - 1e-4)


def truncated_snr(logsnr: Tensor, cap: float) -> Tensor:
    """min(1 + SNR, cap): the v-prediction weight on an error in x0, truncated near the data.

    1 + SNR makes a unit-variance residual count alike at every noise level (arXiv:2202.00512, arXiv:2303.09556).
    """
    return (1 + logsnr.exp()).clamp(max=cap)
