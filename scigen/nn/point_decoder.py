"""From latent points back to a surface: each unfolds a disk into its part of it, with normals, at any density.

x_k(u) = p_k + r f(u; W_k) for u on the unit disk (FoldingNet, arXiv:1712.07262): f is a perceptron whose first matrix
W_k is read off latent k after attention over the others, so one network emits 2,048 points or 16,384.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scigen.nn.attention import fourier, full
from scigen.nn.point_attention import PointAttention, RelativeBias
from scigen.nn.point_encoder import CodecShape
from scigen.state import State

__all__ = ["PointDecoder", "disk"]

_RADIUS = 0.15  # of what a latent unfolds, about: offsets leave the network in units of this
_CODES = 16  # functions on the disk that a latent combines
_OCTAVES = 3  # waves of the code per axis: the finest has a period of half the disk's radius


def disk(count: int, turn: float | Tensor = 0.0, shift: float | Tensor = 0.5) -> Tensor:
    """`count` points spread evenly over the unit disk, `[count, 2]`: r = sqrt((i + shift) / count) at golden angles.

    `turn` (a share of a full one) and `shift` in [0, 1] choose among the spirals (Vogel 1979,
    doi:10.1016/0025-5564(79)90080-4); training draws both, so that every point of the disk is learnt.
    """
    i = torch.arange(count, dtype=torch.float32)
    radius = ((i + shift) / count).sqrt()
    angle = i * (math.pi * (3 - math.sqrt(5))) + 2 * math.pi * turn
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


class PointDecoder(nn.Module):
    """Latents (`pos [B, K, 3]`, `feat [B, K, F]`) and codes `[M, 2]` to `(points, normals)`, each `[B, M K, 3]`.

    The latent runs fastest: the first n points of the result tell of every latent alike.
    """

    def __init__(self, c: CodecShape) -> None:
        super().__init__()
        w = c.point_width
        self.token = nn.Linear(c.feature, c.width)
        self.bias = RelativeBias(c.decoder_layers, c.heads)
        self.layers = nn.ModuleList(PointAttention(c.width, c.heads) for _ in range(c.decoder_layers))
        self.norm = nn.LayerNorm(c.width)
        self.code = nn.Sequential(nn.Linear(2 + 4 * _OCTAVES, 2 * w), nn.SiLU(), nn.Linear(2 * w, _CODES))
        self.first = nn.Linear(c.width, _CODES * w)
        self.hidden = nn.Linear(w, w)
        self.out = nn.Linear(w, 6)

    def forward(self, latents: State, code: Tensor) -> tuple[Tensor, Tensor]:
        pos = latents["pos"]
        h = self.token(latents["feat"])
        for layer, bias in zip(self.layers, self.bias(pos), strict=True):
            h = layer(h, pos, bias)
        offset, normal = full(self.unfold(self.norm(h), code)).split([3, 3], -1)  # [B, M, K, 3]
        points = pos[:, None] + _RADIUS * offset
        return points.flatten(1, 2), nn.functional.normalize(normal, dim=-1).flatten(1, 2)

    def unfold(self, h: Tensor, code: Tensor) -> Tensor:
        """f(u; W): `[B, K, d]`, `[M, 2] -> [B, M, K, 6]`."""
        first = self.first(h).unflatten(-1, (_CODES, -1)).permute(2, 0, 1, 3)  # [codes, B, K, w]
        # One product for the whole batch: a matrix per latent would be B K small ones.
        codes = self.code(fourier(math.pi * code, _OCTAVES)).to(first.dtype)
        x = (codes @ first.flatten(1)).unflatten(1, first.shape[1:])  # [M, B, K, w]
        x = self.out(nn.functional.silu(self.hidden(nn.functional.silu(x))))
        return x.transpose(0, 1)
