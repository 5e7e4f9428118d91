"""Transformer over the patches of several views of one object and of a picture of it: all attend to all.

A state holds `view [B, V G^2, P^2 C]`, the patches of V views of G P pixels a side and C channels, and may hold
    given [B, G^2, P^2 D]       the patches of the picture; without it, or where it is zero, the picture is unknown (the
                                null condition of guidance)
    near  [B, V G^2, M P^2 C]   M sets of views of other objects whose pictures are like this one, nearest first; the
                                network then says what is to be added to the first, so that learning begins at retrieval
                                and not at nothing (Blattmann et al. 2022, arXiv:2204.11824)
Joint attention makes the views agree with each other and with the picture at once, and a patch carries outline, normals
and depth together. The network names x0 itself: the views fill a small part of what a patch may hold, noise all of it,
more than the width. Peebles and Xie 2023 (DiT), arXiv:2212.09748; joint attention over views after Zero123++
(arXiv:2310.15110) and Wonder3D (arXiv:2310.15008); x0 from large patches after Li and He 2025 (JiT), arXiv:2511.13720.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from scigen.nn.attention import Block, full
from scigen.nn.embed import LogSnrEmbedding
from scigen.state import State

__all__ = ["MultiViewConfig", "MultiViewTransformer"]


@dataclass(frozen=True)
class MultiViewConfig:
    """Shape of the network; the defaults have 5.7 M weights."""

    pixels: int = 48
    views: int = 6
    channels: int = 5  # outline, three of the normal, depth
    given: int = 4  # red, green, blue, outline
    patch: int = 8
    width: int = 256
    layers: int = 6
    heads: int = 4
    near: int = 2  # sets of views of neighbours, M

    def __post_init__(self) -> None:
        if self.pixels % self.patch:
            raise ValueError(f"`pixels` must be a multiple of `patch`, got {self.pixels} and {self.patch}.")

    @property
    def cells(self) -> int:
        """Patches of a view, G^2."""
        return (self.pixels // self.patch) ** 2


class MultiViewTransformer(nn.Module):
    """Belief about the views x0 given x_t, log-SNR and the picture."""

    def __init__(self, config: MultiViewConfig) -> None:
        super().__init__()
        c = self.config = config
        self.view = nn.Linear(c.patch**2 * c.channels, c.width)
        self.given = nn.Linear(c.patch**2 * c.given, c.width)
        self.near = nn.Linear(c.near * c.patch**2 * c.channels, c.width, bias=False) if c.near else None
        self.which = nn.Parameter(torch.randn(c.views + 1, 1, c.width) * 0.02)  # the views, then the picture
        self.place = nn.Parameter(torch.randn(c.cells, c.width) * 0.02)
        self.logsnr = LogSnrEmbedding(c.width)
        self.modulation = nn.Linear(c.width, 6 * c.width)
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.layers))
        self.out = nn.Linear(c.width, c.patch**2 * c.channels)
        for weight in (self.modulation.weight, self.modulation.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(weight)  # x0 = 0 at first, the middle of everything, or the nearest

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`view [B, V G^2, P^2 C]` of x0; `previous` beliefs are not looked at."""
        c, noisy = self.config, x["view"]
        picture = x["given"] if "given" in x else noisy.new_zeros(len(noisy), c.cells, c.patch**2 * c.given)
        views = self.view(noisy)
        like: Tensor | float = 0.0
        if self.near is not None and "near" in x:
            views, like = views + self.near(x["near"]), full(x["near"][..., : noisy.shape[-1]])
        h = torch.cat([views, self.given(picture)], 1) + (self.which + self.place).flatten(0, 1)
        modulation = self.modulation(silu(self.logsnr(logsnr))).unflatten(-1, (6, -1))
        for block in self.blocks:
            h = block(h, modulation, None)
        return {"view": like + full(self.out(layer_norm(h[:, : noisy.shape[1]], h.shape[-1:])))}
