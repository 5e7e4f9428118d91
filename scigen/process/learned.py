"""Learned noise schedules: log-SNR as a monotone network of t, its two ends parameters of their own.

logsnr(t) = first + (last - first) (m(t) - m(0)) / (m(1) - m(0)),  m increasing, under alpha^2 + sigma^2 = 1. The bound
of a continuous-time model depends on the ends alone, and the inside sets the variance of its estimate: train the ends
by the bound and the inside by `objective.second_moment`. Kingma et al. 2021, arXiv:2107.00630, sections 4 and 5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scigen.process.affine import Affine, Curve

__all__ = ["MonotoneSchedule", "affine_of"]


def affine_of(logsnr: Curve) -> Affine:
    """The variance-preserving process of a falling curve logsnr(t): alpha^2 = sigmoid(logsnr), sigma^2 = 1 - alpha^2.

    The curve may have parameters: alpha, sigma, drift and diffusion are differentiable in them.
    """
    return Affine(
        lambda t: nn.functional.logsigmoid(logsnr(t)) / 2,
        lambda t: nn.functional.logsigmoid(-logsnr(t)) / 2,
    )


class MonotoneSchedule(nn.Module):
    """logsnr(t), falling from `first` at t = 0 to `last` at t = 1, `[...] -> [...]` in the precision of t.

    m(t) = a t + sum_k c_k sigmoid(b_k t + d_k) with a, b, c > 0, by softplus: the straight line to begin with, bent by
    `width` units as it learns. Raises ValueError unless first > last.
    """

    def __init__(self, first: float = 13.3, last: float = -5.0, width: int = 64) -> None:
        super().__init__()
        if not first > last:
            raise ValueError(f"`first` must exceed `last`, for noise grows with t; got {first} and {last}.")
        self.ends = nn.Parameter(torch.tensor([first, last]))
        self.linear = nn.Parameter(torch.tensor(1.0))
        self.slope = nn.Parameter(torch.full((width,), 10.0))
        self.offset = nn.Parameter(-10 * (torch.arange(width) + 0.5) / width)  # one bend in each slice of [0, 1]
        self.size = nn.Parameter(torch.full((width,), -5.0))

    def forward(self, t: Tensor) -> Tensor:
        first, last = self.ends.to(t)
        m_0, m_1 = self.rise(t.new_tensor([0.0, 1.0]))
        return first + (last - first) * (self.rise(t) - m_0) / (m_1 - m_0)

    def rise(self, t: Tensor) -> Tensor:
        """m(t), increasing."""
        a, b, d, c = (p.to(t) for p in (self.linear, self.slope, self.offset, self.size))
        bends = torch.sigmoid(nn.functional.softplus(b) * t[..., None] + d)
        return nn.functional.softplus(a) * t + (nn.functional.softplus(c) * bends).sum(-1)

    def inside(self) -> list[nn.Parameter]:
        """What the bound does not see: every parameter but the ends."""
        return [self.linear, self.slope, self.offset, self.size]
