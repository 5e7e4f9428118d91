"""Set transformer over latent points: K tokens of a position and a feature, in any order, at one log-SNR.

Beside `pos [B, K, 3]` and `feat [B, K, F]` (unit variance) a state may carry what the belief is conditioned on:
    category [B]               the class; absent, or equal to `categories`, it is the null class of guidance
    start    [B, K, 3 + F]     the point each token set out from (a bridge)
    given    [B, M, 3 + F]     tokens of an observation, any number, real where given_mask [B, M] is true
Given tokens are looked at and never updated, so one network serves with and without them.
Peebles and Xie 2023 (DiT), arXiv:2212.09748; latent points after SLIDE, arXiv:2303.07938.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from scigen.nn.attention import Block, fourier, full
from scigen.nn.embed import LogSnrEmbedding
from scigen.state import State

__all__ = ["LatentConfig", "LatentTransformer", "blend_noise", "class_of", "joint_mask"]


@dataclass(frozen=True)
class LatentConfig:
    """Shape of the network; the defaults are the shipped one, 3.9 M weights."""

    features: int = 32
    categories: int = 0
    width: int = 192
    layers: int = 8
    heads: int = 6
    octaves: int = 4  # Fourier features of positions


class LatentTransformer(nn.Module):
    """Belief about x0 on a state of latent points; permuting its tokens permutes the answer."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        c = self.config = config
        inputs = c.features + 3 * (1 + 2 * c.octaves)
        self.token = nn.Linear(inputs, c.width)
        self.start = nn.Linear(inputs, c.width, bias=False)
        self.given = nn.Linear(inputs, c.width)
        self.logsnr = LogSnrEmbedding(c.width)
        self.category = nn.Embedding(c.categories + 1, c.width)
        self.modulation = nn.Linear(c.width, 6 * c.width)
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.layers))
        self.out = nn.Linear(c.width, 3 + c.features)
        for weight in (self.modulation.weight, self.modulation.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(weight)  # x0 = alpha y at first, the best guess that ignores everything

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`pos [B, K, 3]` and `feat [B, K, F]` of x0, zero on padding; `previous` beliefs are not looked at."""
        h = self.token(self.inputs(torch.cat([x["pos"], x["feat"]], -1)))
        if "start" in x:
            h = h + self.start(self.inputs(x["start"]))
        given = layer_norm(self.given(self.inputs(x["given"])), h.shape[-1:]) if "given" in x else None
        condition = silu(self.logsnr(logsnr) + self.category(class_of(x, self.config.categories)))
        modulation, mask = self.modulation(condition).unflatten(-1, (6, -1)), joint_mask(x)
        for block in self.blocks:
            h = block(h, modulation, mask, given)
        raw = full(self.out(layer_norm(h, h.shape[-1:])))
        return {name: blend_noise(x, name, part, logsnr) for name, part in
                zip(("pos", "feat"), raw.split([3, self.config.features], -1), strict=True)}  # fmt: skip

    def inputs(self, token: Tensor) -> Tensor:
        """Feature, position and its Fourier features of `token [..., 3 + F]`."""
        pos, feat = token.split([3, self.config.features], -1)
        return torch.cat([feat, fourier(pos, self.config.octaves)], -1)


def blend_noise(x: State, name: str, raw: Tensor, logsnr: Tensor) -> Tensor:
    """x0 = alpha y + sigma F, zero on padding: a target F of unit variance at every noise level. arXiv:2206.00364"""
    signal, residual = (torch.sigmoid(sign * logsnr)[:, None, None].sqrt() for sign in (1, -1))
    return (signal * full(x[name]) + residual * raw) * x.mask[..., None]


def class_of(x: State, null: int) -> Tensor:
    """The class of each sample `[B]`, `null` where the state carries none."""
    return x["category"] if "category" in x else torch.full((len(x.mask),), null, device=x.mask.device)


def joint_mask(x: State) -> Tensor:
    """Real tokens of a state and of what it is given, `[B, K + M]`."""
    return torch.cat([x.mask, x["given_mask"]], 1) if "given" in x else x.mask
