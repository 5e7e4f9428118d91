"""Where a field lives: all its coordinates, or those with zero centre of mass.

A density needs its dimension. Centred coordinates of n nodes fill a subspace of (n - 1) D dimensions and have no
density in the nD around it; padding has no dimension at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.state import center

__all__ = ["Space", "centred", "whole"]


@dataclass(frozen=True)
class Space:
    """An orthogonal projection of `[B, ...]` and the dimension of its image, `dim [B]`."""

    project: Callable[[Tensor], Tensor]
    dim: Tensor


def whole(x: Tensor) -> Space:
    """Every coordinate of `x [B, ...]`."""
    return Space(lambda y: y, torch.full((len(x),), float(x[0].numel()), dtype=x.dtype, device=x.device))


def centred(mask: Tensor, axes: int = 3) -> Space:
    """Positions `[B, N, axes]` with zero centre of mass over real nodes, zeros in the padding: (n - 1) axes dimensions.

    The volume is that of an orthonormal basis of the subspace. arXiv:2203.17003, arXiv:2006.02425
    """
    return Space(lambda pos: center(pos, mask), (mask.sum(1) - 1.0).clamp(min=0).double() * axes)
