"""Transformer over the patches of several views of one object and of a picture of it: all attend to all.

A state holds `view [B, V G^2, P^2 C]`, the patches of V views of G P pixels a side and C channels, and may hold `given
[B, G^2, P^2 D]`, those of the picture; without it, or where it is zero, the picture is unknown (the null condition of
guidance). Joint attention makes the views agree with each other and with the picture at once, and a patch carries
outline, normals and depth together. Peebles and Xie 2023 (DiT), arXiv:2212.09748; joint attention over views after
Zero123++ (arXiv:2310.15110) and Wonder3D (arXiv:2310.15008).
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
    """Shape of the network; the defaults have 4.3 M weights."""

    pixels: int = 48
    views: int = 6
    channels: int = 5  # outline, three of the normal, depth
    given: int = 4  # red, green, blue, outline
    patch: int = 6
    width: int = 192
    layers: int = 6
    heads: int = 6

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
        self.which = nn.Parameter(torch.randn(c.views + 1, 1, c.width) * 0.02)  # the views, then the picture
        self.place = nn.Parameter(torch.randn(c.cells, c.width) * 0.02)
        self.logsnr = LogSnrEmbedding(c.width)
        self.modulation = nn.Linear(c.width, 6 * c.width)
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.layers))
        self.out = nn.Linear(c.width, c.patch**2 * c.channels)
        for weight in (self.modulation.weight, self.modulation.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(weight)  # x0 = alpha y at first, the best guess that ignores everything

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`view [B, V G^2, P^2 C]` of x0; `previous` beliefs are not looked at."""
        c, noisy = self.config, x["view"]
        picture = x["given"] if "given" in x else noisy.new_zeros(len(noisy), c.cells, c.patch**2 * c.given)
        h = torch.cat([self.view(noisy), self.given(picture)], 1) + (self.which + self.place).flatten(0, 1)
        modulation = self.modulation(silu(self.logsnr(logsnr))).unflatten(-1, (6, -1))
        every = torch.ones(h.shape[:2], dtype=torch.bool, device=h.device)
        for block in self.blocks:
            h = block(h, modulation, every)
        raw = full(self.out(layer_norm(h[:, : noisy.shape[1]], h.shape[-1:])))
        # x0 = alpha y + sigma F: a target F of unit variance at every noise level. arXiv:2206.00364
        signal, residual = (torch.sigmoid(sign * logsnr)[:, None, None].sqrt() for sign in (1, -1))
        return {"view": signal * full(noisy) + residual * raw}
