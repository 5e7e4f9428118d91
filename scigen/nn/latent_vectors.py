"""Rotation-equivariant transformer over latent points whose features are scalars and vectors.

Each token carries scalars h `[B, K, d]` and C vectors v `[B, K, 3, C]` (positions among them, seen from the origin of
the frame). One attention serves both: its logits q_i . k_j + sum_c <u_i^c, w_j^c> are invariant, so the scalars and the
vectors it averages keep their kind. Reflections pass through as well, nothing here has a handedness. With the states of
`nn.latent_transformer`, `feat [B, K, S + 3 V]` holds S scalars, then V vectors; `start` and `given` likewise.

A state with `frame [B, 3, A]` shows every token A reference axes (columns) as further vectors: where the pose is known
they break the symmetry on purpose; columns of zeros leave it whole, and the up axis alone leaves turns about it.
Vector neurons, arXiv:2104.12229; VN-Transformer, arXiv:2206.04176; frames as inputs, arXiv:2501.01999.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from scigen.nn.attention import full
from scigen.nn.embed import LogSnrEmbedding
from scigen.nn.latent_transformer import blend_noise, class_of, joint_mask
from scigen.state import State

__all__ = ["VectorConfig", "VectorTransformer"]


@dataclass(frozen=True)
class VectorConfig:
    """Shape of the network: `scalars` and `vectors` of a feature, `axes` of a reference frame."""

    scalars: int = 8
    vectors: int = 8
    axes: int = 3
    categories: int = 0
    width: int = 128
    channels: int = 32
    layers: int = 6
    heads: int = 8


class VectorTransformer(nn.Module):
    """f(R x) = R f(x) for every rotation and reflection R about the origin, as long as no frame is shown."""

    def __init__(self, config: VectorConfig) -> None:
        super().__init__()
        c = self.config = config
        self.scalar = nn.Linear(2 * c.scalars, c.width)
        self.vector = nn.Linear(2 * (1 + c.vectors) + c.axes, c.channels, bias=False)
        self.given_scalar = nn.Linear(c.scalars, c.width)
        self.given_vector = nn.Linear(1 + c.vectors + c.axes, c.channels, bias=False)
        self.logsnr = LogSnrEmbedding(c.width)
        self.category = nn.Embedding(c.categories + 1, c.width)
        self.modulation = nn.Linear(c.width, 6 * c.width)
        self.layers = nn.ModuleList(_Layer(c) for _ in range(c.layers))
        self.scalar_out = nn.Linear(c.width, c.scalars)
        self.vector_out = nn.Linear(c.channels, 1 + c.vectors, bias=False)
        for weight in (self.modulation.weight, self.modulation.bias, self.scalar_out.weight, self.scalar_out.bias,
                       self.vector_out.weight):  # fmt: skip
            nn.init.zeros_(weight)  # x0 = alpha y at first, the best guess that ignores everything

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`pos [B, K, 3]` and `feat [B, K, S + 3 V]` of x0, zero on padding; `previous` beliefs are not looked at."""
        token = torch.cat([x["pos"], x["feat"]], -1)
        (scalar, vector), (s, v) = self.parts(token), self.parts(x["start"] if "start" in x else 0 * token)
        h = self.scalar(torch.cat([scalar, s], -1))
        v = self.vector(torch.cat([vector, v, self.axes(x, token)], -1))
        given = self.observed(x) if "given" in x else None
        condition = silu(self.logsnr(logsnr) + self.category(class_of(x, self.config.categories)))
        modulation, mask = self.modulation(condition).unflatten(-1, (6, -1)), joint_mask(x)
        for layer in self.layers:
            h, v = layer(h, v, modulation, mask, given)
        arrows = full(self.vector_out(v))  # [B, K, 3, 1 + V]
        feat = torch.cat([full(self.scalar_out(layer_norm(h, h.shape[-1:]))), arrows[..., 1:].mT.flatten(2)], -1)
        return {"pos": blend_noise(x, "pos", arrows[..., 0], logsnr), "feat": blend_noise(x, "feat", feat, logsnr)}

    def parts(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars `[B, N, S]`, and the position and the vectors `[B, N, 3, 1 + V]`, of `token [B, N, 3 + S + 3 V]`."""
        pos, scalar, vector = token.split([3, self.config.scalars, 3 * self.config.vectors], -1)
        return scalar, torch.cat([pos[..., None], vector.unflatten(-1, (self.config.vectors, 3)).mT], -1)

    def axes(self, x: State, like: Tensor) -> Tensor:
        """The reference axes for every token of `like [B, N, ...]`, zeros where there is no frame, `[B, N, 3, A]`."""
        none = like.new_zeros(len(like), 3, self.config.axes)
        frame = x["frame"].to(like) if "frame" in x else none
        return frame[:, None].expand(-1, like.shape[1], -1, -1)

    def observed(self, x: State) -> tuple[Tensor, Tensor]:
        """Scalars and vectors of the given tokens."""
        scalar, vector = self.parts(x["given"])
        h = self.given_scalar(scalar)
        v = self.given_vector(torch.cat([vector, self.axes(x, x["given"])], -1))
        return layer_norm(h, h.shape[-1:]), _unit(v)


class _Layer(nn.Module):
    """Attention and feed-forward over scalars and vectors, the scalars modulated as in `nn.attention.Block`."""

    def __init__(self, c: VectorConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.query, self.vector_query = _linear(c.width, c.width), _linear(c.channels, c.channels)
        self.key_value, self.vector_key_value = _linear(c.width, 2 * c.width), _linear(c.channels, 2 * c.channels)
        self.out, self.vector_out = nn.Linear(c.width, c.width), _linear(c.channels, c.channels)
        self.mix = _linear(c.channels, 3 * c.channels)
        self.feed = nn.Linear(c.width + c.channels, 3 * c.width)
        self.feed_out = nn.Linear(3 * c.width, c.width + c.channels)
        self.table = nn.Parameter(torch.zeros(6, c.width))

    def forward(
        self, h: Tensor, v: Tensor, condition: Tensor, mask: Tensor, given: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        shift, scale, gate, shift_f, scale_f, gate_f = (condition + self.table)[:, :, None].unbind(1)
        y, unit = layer_norm(h, h.shape[-1:]) * (1 + scale) + shift, _unit(v)
        source, arrows = (y, unit) if given is None else (
            torch.cat([y, given[0].to(y.dtype)], 1), torch.cat([unit, given[1].to(unit.dtype)], 1)
        )  # fmt: skip
        scalar, vector = self.attend(y, unit, source, arrows, mask)
        h, v = h + (1 + gate) * scalar, v + vector
        left, right, other = self.mix(_unit(v)).chunk(3, -1)
        products = (full(left) * full(right)).sum(-2).to(h.dtype)  # the invariants that vectors tell scalars
        seen = torch.cat([layer_norm(h, h.shape[-1:]) * (1 + scale_f) + shift_f, products], -1)
        update, turn = self.feed_out(silu(self.feed(seen))).split([h.shape[-1], v.shape[-1]], -1)
        return h + (1 + gate_f) * update, v + turn[..., None, :] * other

    def attend(self, y: Tensor, unit: Tensor, source: Tensor, arrows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """softmax_j(q_i . k_j + <u_i, w_j>) of the values of both kinds; heads share out scalars and channels."""
        key, value = self.key_value(source).chunk(2, -1)
        vector_key, vector_value = self.vector_key_value(arrows).chunk(2, -1)
        q = self.joined(self.query(y), self.vector_query(unit))
        k, values = self.joined(key, vector_key), self.joined(value, vector_value)
        logits = full(q @ k.mT) * q.shape[-1] ** -0.5
        weights = logits.masked_fill(~mask[:, None, None], -1e4).softmax(-1)
        out = (weights.to(values.dtype) @ values).transpose(1, 2)  # [B, K, heads, (d + 3 C) / heads]
        scalar, vector = out.split([y.shape[-1] // self.heads, 3 * unit.shape[-1] // self.heads], -1)
        per_head = vector.unflatten(-1, (3, -1)).transpose(2, 3).flatten(3)  # [B, K, 3, C]
        return self.out(scalar.flatten(2)), self.vector_out(per_head)

    def joined(self, scalar: Tensor, vector: Tensor) -> Tensor:
        """Scalars and vectors of each head side by side, `[B, heads, N, (d + 3 C) / heads]`."""
        arrows = vector.unflatten(-1, (self.heads, -1)).transpose(2, 3).flatten(3)
        return torch.cat([scalar.unflatten(-1, (self.heads, -1)), arrows.to(scalar.dtype)], -1).transpose(1, 2)


def _linear(inside: int, out: int) -> nn.Linear:
    return nn.Linear(inside, out, bias=False)


def _unit(v: Tensor) -> Tensor:
    """Vectors of a token divided by their common root mean square; scalars hear of lengths by products with axes."""
    return v * torch.rsqrt(full(v).square().mean((-2, -1), keepdim=True) + 1e-4).to(v.dtype)
