"""Denoiser of raw points by read, process, write: N points tell 64 tokens, tokens talk, points listen.

Cost is linear in N, and any N goes: the points are a set. No voxels, no neighbours. The baseline of the latent models.
Jabri et al. 2022 (RIN), arXiv:2212.11972; Perceiver, arXiv:2103.03206.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from scigen.nn.attention import Attention, Block, Feed, fourier
from scigen.nn.embed import LogSnrEmbedding
from scigen.nn.latent_transformer import blend_noise, class_of
from scigen.state import State

__all__ = ["PointConfig", "PointNetwork"]


@dataclass(frozen=True)
class PointConfig:
    """Shape of the network; the defaults have 1.6 M weights."""

    categories: int = 0
    width: int = 128
    tokens: int = 64
    rounds: int = 1  # each reads the points anew and costs as much again
    blocks: int = 6  # in each round
    heads: int = 4
    octaves: int = 6  # Fourier features of positions


class PointNetwork(nn.Module):
    """Belief about x0 on a state of points `pos [B, N, 3]` of unit variance; permuting points permutes the answer."""

    def __init__(self, config: PointConfig) -> None:
        super().__init__()
        c = self.config = config
        self.point = nn.Linear(3 * (1 + 2 * c.octaves), c.width)
        self.tokens = nn.Parameter(torch.randn(c.tokens, c.width) / c.width**0.5)
        self.logsnr = LogSnrEmbedding(c.width)
        self.category = nn.Embedding(c.categories + 1, c.width)
        self.modulation = nn.Linear(c.width, 6 * c.width)
        self.rounds = nn.ModuleList(_Round(c) for _ in range(c.rounds))
        self.out = nn.Linear(c.width, 3)
        for weight in (self.modulation.weight, self.modulation.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(weight)  # x0 = alpha y at first, the best guess that ignores everything

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`pos [B, N, 3]` of x0, zero on padding; `previous` beliefs are not looked at."""
        h = self.point(fourier(x["pos"], self.config.octaves))
        tokens = self.tokens.expand(len(h), -1, -1)
        condition = silu(self.logsnr(logsnr) + self.category(class_of(x, self.config.categories)))
        modulation = self.modulation(condition).unflatten(-1, (6, -1))
        for turn in self.rounds:
            h, tokens = turn(h, tokens, modulation, x.mask)
        return {"pos": blend_noise(x, "pos", self.out(layer_norm(h, h.shape[-1:])), logsnr)}


class _Round(nn.Module):
    """Tokens read the points, attend to each other `blocks` times, and are written back to the points."""

    def __init__(self, c: PointConfig) -> None:
        super().__init__()
        self.read, self.write = Attention(c.width, c.heads), Attention(c.width, c.heads)
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.blocks))
        self.feed = Feed(c.width)
        self.table = nn.Parameter(torch.zeros(2, c.width))

    def forward(self, h: Tensor, tokens: Tensor, modulation: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        d = h.shape[-1:]
        tokens = tokens + self.read(layer_norm(tokens, d), layer_norm(h, d), mask)
        every = torch.ones(tokens.shape[:2], dtype=torch.bool, device=mask.device)
        for block in self.blocks:
            tokens = block(tokens, modulation, every)
        shift, scale = (modulation[:, 3:5] + self.table)[:, :, None].unbind(1)
        h = h + self.write(layer_norm(h, d), layer_norm(tokens, d), every)
        return h + self.feed(layer_norm(h, d) * (1 + scale) + shift), tokens
