"""Blocks of set transformers: attention over masked tokens, a gated feed-forward, both modulated by a condition.

Nothing here knows the order of tokens. Attention is written out: sets are small (32 to 64 tokens on one side), where
two matrix products in half precision take a seventh of the time of the fused kernel on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize, silu

__all__ = ["Attention", "Block", "Feed", "fourier", "full"]


def fourier(x: Tensor, octaves: int) -> Tensor:
    """x and sin, cos of 2^k x for k < octaves, `[..., D] -> [..., D (1 + 2 octaves)]`. arXiv:2006.10739"""
    phase = (x[..., None] * 2.0 ** torch.arange(octaves, device=x.device)).flatten(-2)
    return torch.cat([x, phase.sin(), phase.cos()], -1)


def full(x: Tensor) -> Tensor:
    """x in single precision, or in its own where that is better: float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Attention(nn.Module):
    """sum_j softmax_j(tau cos(q_i, k_j)) v_j over real j, tau learned per head (query-key normalisation).

    Logits stay within tau whatever the weights do, in half precision too. arXiv:2302.05442
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.tau = nn.Parameter(torch.full((heads, 1, 1), (width / heads) ** 0.5))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
        """Tokens x `[B, N, d]` look at `source [B, M, d]` where `mask [B, M]` is true.

        Without a mask all are real and the logits stay in their own precision, which saves passes over N x M numbers.
        """
        key, value = self.key_value(source).chunk(2, -1)
        # each [B, heads, tokens, d / heads]
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.query(x), key, value))
        logits = (self.tau * normalize(q, dim=-1)).to(q.dtype) @ normalize(k, dim=-1).mT
        if mask is not None:
            logits = full(logits).masked_fill(~mask[:, None, None], -1e4)
        weights = logits.softmax(-1).to(v.dtype)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class Feed(nn.Module):
    """W (silu(a) b) with (a, b) = V x, two thirds of 4 d wide: SwiGLU. arXiv:2002.05202"""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = -(-8 * width // 96) * 32
        self.inside = nn.Linear(width, 2 * hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.inside(x).chunk(2, -1)
        return self.out(silu(gate) * value)


class Block(nn.Module):
    """Attention and feed-forward with adaptive layer norms: x + (1 + gate) f(norm(x) (1 + scale) + shift).

    One linear map of the condition serves every block, which adds a table of its own.
    arXiv:2212.09748, arXiv:2310.00426
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed = Feed(width)
        self.table = nn.Parameter(torch.zeros(6, width))

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None, given: Tensor | None = None) -> Tensor:
        """`x [B, N, d]`, `condition [B, 6, d]`; `given [B, M, d]` is looked at too, `mask [B, N + M]` covers both."""
        shift, scale, gate, shift_f, scale_f, gate_f = (condition + self.table)[:, :, None].unbind(1)
        y = layer_norm(x, x.shape[-1:]) * (1 + scale) + shift
        source = y if given is None else torch.cat([y, given.to(y.dtype)], 1)
        x = x + (1 + gate) * self.attention(y, source, mask)
        return x + (1 + gate_f) * self.feed(layer_norm(x, x.shape[-1:]) * (1 + scale_f) + shift_f)
