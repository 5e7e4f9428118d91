"""Chamfer distances as losses: batched, padded, differentiable in both clouds.

    CD = mean_a min_b |a - b|^p + mean_b min_a |a - b|^p,   p = 1 or 2

The metrics of the same name, for reports, are in `scigen.metrics.chamfer`. Fan et al. 2017, arXiv:1612.00603.
"""

from __future__ import annotations

from torch import Tensor

from scigen.nn.neighbours import knn

__all__ = ["chamfer_loss", "nearest"]


def nearest(a: Tensor, b: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """From each of `a [B, N, 3]` to the nearest of `b [B, M, 3]`: distance and index `[B, N]`; `mask [B, M]` is b's.

    Raises `ValueError` when a cloud b has no point.
    """
    distance, index = knn(a, b, 1, mask)
    return distance[..., 0], index[..., 0]


def chamfer_loss(
    a: Tensor, b: Tensor, a_mask: Tensor | None = None, b_mask: Tensor | None = None, power: int = 2
) -> Tensor:
    """Sum of the two mean nearest distances to the `power`, one per cloud `[B]`, in units of length^power.

    Raises `ValueError` when a cloud has no point.
    """
    there, back = nearest(a, b, b_mask)[0], nearest(b, a, a_mask)[0]
    return _mean(there**power, a_mask) + _mean(back**power, b_mask)


def _mean(x: Tensor, mask: Tensor | None) -> Tensor:
    return x.mean(1) if mask is None else (x * mask).sum(1) / mask.sum(1)
