"""Places on a cloud for its latent points: near given ones, so that like shapes get like latents.

Farthest points cover a shape evenly, but which they are hangs on a hair: two samples of one surface get places further
apart than a shape and the nearest other one of a thousand, and a network that leads from one shape's latents to
another's would learn that chance before anything else. Places that follow those of a similar shape are a function of
the two shapes, cover this one as evenly, and tell which latent belongs to which.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scigen.nn.neighbours import gather, knn

__all__ = ["following"]

_STEPS = 2  # more cover the cloud better by little and move further from where they began


@torch.no_grad()
def following(points: Tensor, begin: Tensor, mask: Tensor | None = None) -> Tensor:
    """Points of `points [B, N, 3]` near `begin [B, K, 3]`, `[B, K, 3]`: two steps of Lloyd's algorithm, and the nearest
    point of the cloud.

    A step moves a place to the mean of the points that are nearest to it, and one that is nearest to none stays.
    `mask [B, N]` is true on real points. Lloyd 1982, doi:10.1109/TIT.1982.1056489.
    """
    real = torch.ones_like(points[..., :1]) if mask is None else mask[..., None].to(points.dtype)
    place = begin
    for _ in range(_STEPS):
        cell = knn(points, place, 1)[1].expand(-1, -1, 3)
        total = torch.zeros_like(place).scatter_add(1, cell, points * real)
        count = torch.zeros_like(place).scatter_add(1, cell, real.expand_as(points))
        place = torch.where(count > 0, total / count.clamp_min(1), place)
    return gather(points, knn(place, points, 1, mask)[1][..., 0])
