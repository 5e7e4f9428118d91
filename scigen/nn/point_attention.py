"""Self-attention over points that sees only where they stand relative to each other, so translations drop out.

Displacements p_j - p_i bias the logits, and every head returns, beside its values, sum_j a_ij p_j - p_i: the mean
displacement under its own weights, like the points of invariant point attention (doi:10.1038/s41586-021-03819-2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scigen.nn.attention import Feed
from scigen.nn.embed import radial_basis

__all__ = ["PointAttention", "RelativeBias"]

_UNIT = 0.25  # displacements enter networks in units of this: half the radius of a shape


class RelativeBias(nn.Module):
    """Logits from p_j - p_i, for every layer at once: `[B, K, 3] -> [layers, B, heads, K, K]`."""

    def __init__(self, layers: int, heads: int, radial: int = 16, hidden: int = 32) -> None:
        super().__init__()
        self.radial, self.split = radial, (layers, heads)
        self.net = nn.Sequential(nn.Linear(3 + radial, hidden), nn.SiLU(), nn.Linear(hidden, layers * heads))

    def forward(self, pos: Tensor) -> Tensor:
        step = pos[:, None] - pos[:, :, None]  # [B, i, j, 3]: from i to j
        distance = (step.square().sum(-1) + 1e-12).sqrt()
        x = torch.cat([step / _UNIT, radial_basis(distance, self.radial, 1.0)], -1)
        return self.net(x).unflatten(-1, self.split).permute(3, 0, 4, 1, 2)


class PointAttention(nn.Module):
    """One pre-norm layer, attention and feed-forward: features `h [B, K, d]` of points `pos [B, K, 3]`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width + 3 * heads, width)
        self.feed = Feed(width)

    def forward(self, h: Tensor, pos: Tensor, bias: Tensor) -> Tensor:
        qkv = self.qkv(self.norm_attention(h)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, K, d / heads]
        logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        weights = (logits + bias).softmax(-1)
        here = (pos - pos.mean(1, keepdim=True))[:, None]
        towards = (weights @ here - here) / _UNIT
        found = torch.cat([weights.to(value.dtype) @ value, towards.to(value.dtype)], -1)
        h = h + self.out(found.transpose(1, 2).flatten(2))
        return h + self.feed(self.norm_feed(h))
