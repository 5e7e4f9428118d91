"""Set transformer over latent points that looks at the patches of a picture: Point-E's idea on latent points.

A state holds `pos [B, K, 3]` and `feat [B, K, F]` (unit variance) and may hold `picture [B, G^2, P^2 D]`, the patches
of a picture of G P pixels a side and D channels; without it, or where it is zero, the picture is unknown. The patches
look at each other first, then every latent point looks at them, and they at nothing. Nichol et al. 2022 (Point-E),
arXiv:2212.08751; Peebles and Xie 2023 (DiT), arXiv:2212.09748.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from scigen.nn.attention import Block, fourier, full
from scigen.nn.embed import LogSnrEmbedding
from scigen.nn.latent_transformer import blend_noise
from scigen.state import State

__all__ = ["PictureLatents", "PictureLatentsShape"]


@dataclass(frozen=True)
class PictureLatentsShape:
    """Shape of the network; the defaults have 5.2 M weights."""

    pixels: int = 48
    patch: int = 8
    given: int = 4  # red, green, blue, outline
    features: int = 32
    width: int = 192
    layers: int = 8
    looks: int = 3  # layers of the picture's own
    heads: int = 6
    octaves: int = 4  # Fourier features of positions

    @property
    def cells(self) -> int:
        """Patches of the picture, G^2."""
        return (self.pixels // self.patch) ** 2


class PictureLatents(nn.Module):
    """Belief about x0 on a state of latent points and a picture; permuting the points permutes the answer."""

    def __init__(self, config: PictureLatentsShape) -> None:
        super().__init__()
        c = self.config = config
        self.picture = nn.Linear(c.patch**2 * c.given, c.width)
        self.place = nn.Parameter(torch.randn(c.cells, c.width) * 0.02)
        self.looks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.looks))
        self.token = nn.Linear(c.features + 3 * (1 + 2 * c.octaves), c.width)
        self.logsnr = LogSnrEmbedding(c.width)
        self.modulation = nn.Linear(c.width, 6 * c.width)
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.layers))
        self.out = nn.Linear(c.width, 3 + c.features)
        for weight in (self.modulation.weight, self.modulation.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(weight)  # x0 = alpha y at first, the best guess that ignores everything

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`pos [B, K, 3]` and `feat [B, K, F]` of x0, zero on padding; `previous` beliefs are not looked at."""
        seen = self._seen(x)
        h = self.token(torch.cat([x["feat"], fourier(x["pos"], self.config.octaves)], -1))
        modulation = self.modulation(silu(self.logsnr(logsnr))).unflatten(-1, (6, -1))
        mask = torch.cat([x.mask, x.mask.new_ones(seen.shape[:2])], 1)
        for block in self.blocks:
            h = block(h, modulation, mask, seen)
        raw = full(self.out(layer_norm(h, h.shape[-1:])))
        parts = zip(("pos", "feat"), raw.split([3, self.config.features], -1), strict=True)
        return {name: blend_noise(x, name, part, logsnr) for name, part in parts}

    def _seen(self, x: State) -> Tensor:
        """The picture as tokens `[B, G^2, d]`."""
        c, count = self.config, len(x.mask)
        patches = x["picture"] if "picture" in x else x["pos"].new_zeros(count, c.cells, c.patch**2 * c.given)
        h = self.picture(patches) + self.place
        same = h.new_zeros(count, 6, c.width)
        for block in self.looks:
            h = block(h, same, None)
        return layer_norm(h, h.shape[-1:])
