"""Latent points to the signed distance at any place: what is near asks the nearest latents, and only of invariants.

A latent knows the others by their features and distances, and answers with vectors sum_j w_ij (p_j - p_i) and their
cross products. They turn with the latents, so a query x is measured by x - p_i along them, and the distance is the same
wherever the latent points and x are moved or turned together, features as they are (a mirror image is another matter).
Of the features themselves nothing is asked: those of `nn.point_encoder` tell of an upright shape.
Local latents that are blended: 3DILG, arXiv:2205.13914; signed distance by a network: DeepSDF, arXiv:1901.05103.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scigen.nn.attention import Feed, full
from scigen.nn.embed import radial_basis
from scigen.nn.neighbours import gather
from scigen.state import State

__all__ = ["ImplicitNetwork", "ImplicitShape"]

_REACH = 0.5  # distances beyond this are all far
_UNIT = 0.15  # of displacements: about the radius of what a latent stands for
_VALUE = 0.1  # distances leave the network in units of this
_RADIAL = 16


@dataclass(frozen=True)
class ImplicitShape:
    """Shape of the network; the defaults are those of the preset, 0.7 M weights."""

    feature: int = 32  # of the codec
    width: int = 128
    heads: int = 4
    layers: int = 3
    axes: int = 16  # vectors of a latent, as many again are cross products
    neighbours: int = 8  # latents a query asks; the farthest of them has no say
    hidden: int = 64  # per query and latent


class ImplicitNetwork(nn.Module):
    """Signed distance, below 0 inside, in units of the bounding sphere's diameter."""

    def __init__(self, shape: ImplicitShape) -> None:
        super().__init__()
        c = self.shape = shape
        self.token = nn.Linear(c.feature, c.width)
        self.bias = nn.Linear(_RADIAL, c.layers * c.heads)
        self.layers = nn.ModuleList(_Layer(c.width, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.pair = nn.Linear(c.width, 2 * 8 * c.axes)
        self.pair_bias = nn.Linear(_RADIAL, c.axes)
        self.modulate = nn.Linear(c.width, 2 * c.hidden)
        self.measure = nn.Linear(2 * c.axes + _RADIAL, c.hidden)
        self.mix = nn.Linear(c.hidden, c.hidden)
        self.say = nn.Linear(c.hidden, 1)
        self.out = nn.Sequential(nn.Linear(c.hidden, c.hidden), nn.SiLU(), nn.Linear(c.hidden, 1))

    def forward(self, latents: State, query: Tensor) -> Tensor:
        """`[B, Q]` at `query [B, Q, 3]` of latents `pos [B, K, 3]`, `feat [B, K, F]`."""
        return self.ask(*self.read(latents), query)

    def read(self, latents: State) -> tuple[Tensor, Tensor, Tensor]:
        """What queries ask: positions, tokens `[B, K, 2 hidden]` and vectors `[B, K, 3, 2 axes]`."""
        pos, h = latents["pos"], self.token(latents["feat"])
        step = pos[:, None] - pos[:, :, None]  # [B, i, j, 3]: from i to j
        far = radial_basis(torch.linalg.vector_norm(step, dim=-1), _RADIAL, 1.0)
        biases = self.bias(far).unflatten(-1, (len(self.layers), -1)).permute(3, 0, 4, 1, 2)
        for layer, bias in zip(self.layers, biases, strict=True):
            h = layer(h, bias)
        h = self.norm(h)
        one, other = self.pair(h).unflatten(-1, (2, self.shape.axes, -1)).unbind(2)  # [B, K, axes, 8]
        weight = torch.einsum("biad,bjad->bija", one, other) / 8**0.5 + self.pair_bias(far)
        vector = torch.einsum("bija,bijx->bixa", full(weight), step)
        vector = vector * torch.rsqrt(vector.square().sum(2, keepdim=True) + 1e-4)
        across = torch.linalg.cross(vector, vector.roll(1, -1), dim=2)
        return pos, self.modulate(h), torch.cat([vector, across], -1)

    def ask(self, pos: Tensor, token: Tensor, vector: Tensor, query: Tensor) -> Tensor:
        """`[B, Q]`: the nearest latents' answers, blended; no jump where the set of the nearest changes."""
        far = torch.cdist(query, pos, compute_mode="donot_use_mm_for_euclid_dist")
        distance, index = far.topk(min(self.shape.neighbours, pos.shape[1]), largest=False)
        step = query[:, :, None] - gather(pos, index)  # [B, Q, k, 3]
        axes = gather(vector.flatten(2), index).unflatten(-1, (3, -1))
        along = (step[..., None] * axes).sum(-2) / _UNIT
        seen = torch.cat([along, radial_basis(distance.clamp(max=_REACH), _RADIAL, _REACH)], -1)
        shift, scale = gather(token, index).chunk(2, -1)
        h = silu(self.mix(silu(shift + (1 + scale) * self.measure(seen))))
        near = (1 - (distance / distance[..., -1:].clamp(min=1e-9)).square()).clamp(min=0)
        weight = near * full(self.say(h))[..., 0].clamp(-20, 20).exp()
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)
        return _VALUE * full(self.out((weight[..., None].to(h.dtype) * h).sum(-2)))[..., 0]


class _Layer(nn.Module):
    """Pre-norm attention over latents with a bias from distances, and a feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = Feed(width)

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        qkv = self.qkv(self.norm_attention(h)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, K, d / heads]
        weights = (full(query @ key.mT) / query.shape[-1] ** 0.5 + bias).softmax(-1)
        h = h + self.out((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))
        return h + self.feed(self.norm_feed(h))
