"""E(3)-equivariant graph transformer over molecules: dense, padded, masked.

Each atom carries scalars h `[B, N, d]` and C vectors v `[B, N, 3, C]`, each pair of atoms features e `[B, N, N, p]`. A
layer forms one message per pair from h_i, h_j, e_ij and the C distances |v_i^c - v_j^c|; attention weights, vector
coefficients and the pair update are all read off that message. Vectors only ever meet invariant coefficients, so
rotations and reflections pass through; translations leave with the centre of mass. In the line of EGNN
(arXiv:2102.09844), MiDi (arXiv:2302.09048) and SemlaFlow (arXiv:2406.07266).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scigen.nn.embed import LogSnrEmbedding, radial_basis
from scigen.state import State, center, pair_mask

__all__ = ["GraphTransformer", "TransformerConfig"]


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the network; the defaults are the shipped one."""

    atoms: int = 9  # atom tokens
    bonds: int = 4  # bond orders
    width: int = 192  # scalars per atom
    pair: int = 32  # features per pair
    message: int = 64  # hidden width of the pair message
    vectors: int = 16  # vectors per atom
    heads: int = 8
    layers: int = 8
    radial: int = 16  # distance basis functions
    max_atoms: int = 64  # sizes above share an embedding


class GraphTransformer(nn.Module):
    """`Network` on a molecule `State`: coordinates of x0, logits of atom tokens and of bond orders."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        c = self.config = config
        self.logsnr = LogSnrEmbedding(c.width)
        self.size = nn.Embedding(c.max_atoms + 1, c.width)
        self.atom = nn.Embedding(c.atoms, c.width)
        self.atom_previous = nn.Linear(c.atoms, c.width, bias=False)
        self.bond = nn.Embedding(c.bonds, c.pair)
        self.pair_in = nn.Linear(c.bonds + 2 * c.radial, c.pair)
        self.vector_in = nn.Linear(2, c.vectors, bias=False)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.atom_out = nn.Linear(c.width, c.atoms)
        self.vector_out = nn.Linear(c.vectors, 1, bias=False)
        self.bond_out = nn.Sequential(
            nn.Linear(c.pair + c.vectors, c.message), nn.SiLU(), nn.Linear(c.message, c.bonds)
        )
        # Start from x0 = alpha y, the best guess that ignores everything: early gradients stay tame.
        nn.init.zeros_(self.vector_out.weight)

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`pos [B, N, 3]`, logits `atom [B, N, K]` and symmetric `bond [B, N, N, 4]`, in single precision or better."""
        hidden, context = self.start(x, logsnr, previous)
        for layer in self.layers:
            hidden = layer(*hidden, *context)
        return self.finish(x, logsnr, *hidden)

    @property
    def channels(self) -> tuple[int, int, int]:
        """Widths of the last axes of (h, v, e)."""
        return self.config.width, self.config.vectors, self.config.pair

    def start(
        self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
        """(h, v, e) before the first layer, and what every layer is told: the conditioning and the mask."""
        condition = self.logsnr(logsnr) + self.size(x.sizes.clamp(max=self.config.max_atoms))
        h, v, e = self.embed(x, full(x["pos"]), previous)
        return (h + condition[:, None], v, e), (nn.functional.silu(condition), x.mask)

    def finish(self, x: State, logsnr: Tensor, h: Tensor, v: Tensor, e: Tensor) -> dict[str, Tensor]:
        """The belief read off (h, v, e) after the last layer."""
        signal = torch.sigmoid(logsnr)[:, None, None].sqrt()
        residual = torch.sigmoid(-logsnr)[:, None, None].sqrt()
        # Unit-variance target at every noise level (Karras et al. 2022, arXiv:2206.00364): x0 = alpha y + sigma F.
        x0 = signal * full(x["pos"]) + residual * self.vector_out(v).squeeze(-1)
        bond = self.bond_out(torch.cat([e + e.transpose(1, 2), distances(v)], -1))
        return {"pos": center(x0, x.mask), "atom": full(self.atom_out(self.norm(h))), "bond": full(bond)}

    def embed(
        self, x: State, pos: Tensor, previous: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """First scalars, vectors and pair features, from x_t and the belief of the step before (zeros without one)."""
        c = self.config
        previous = nothing(x, c.atoms, c.bonds) if previous is None else previous
        last, atom, bond = (full(previous[name]) for name in ("pos", "atom", "bond"))
        now, before = (radial_basis(pair_distance(p), c.radial, 5.0) for p in (pos, last))
        e = self.bond(x["bond"]) + self.pair_in(torch.cat([bond, now, before], -1))
        h = self.atom(x["atom"]) + self.atom_previous(atom)
        v = self.vector_in(torch.stack([pos, last], -1))
        return h, v, e


class Layer(nn.Module):
    """Pair messages, attention, vector update, feed-forward; modulated by the conditioning (arXiv:2212.09748)."""

    def __init__(self, c: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.message_width = c.heads, c.message
        self.split = (c.heads, c.vectors, c.pair)
        self.modulation = nn.Linear(c.width, 6 * c.width)
        self.norm_attention = nn.LayerNorm(c.width, elementwise_affine=False)
        self.norm_feed = nn.LayerNorm(c.width, elementwise_affine=False)
        self.norm_pair = nn.LayerNorm(c.pair)
        self.node_in = nn.Linear(c.width, 2 * c.message + c.width)
        self.pair_in = nn.Linear(c.pair + c.vectors, c.message, bias=False)
        self.pair_out = nn.Linear(c.message, sum(self.split))
        self.attention_out = nn.Linear(c.width, c.width)
        self.vector_mix = nn.Linear(c.vectors, c.vectors, bias=False)
        self.vector_self = nn.Linear(c.vectors, 2 * c.vectors, bias=False)
        self.feed_in = nn.Linear(c.width + c.vectors, 3 * c.width)
        self.feed_out = nn.Linear(3 * c.width, c.width + c.vectors)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self, h: Tensor, v: Tensor, e: Tensor, condition: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        shift, scale, gate, shift_f, scale_f, gate_f = self.modulation(condition)[:, None].chunk(6, -1)
        unit = v / root_mean_square(v, mask)
        query, key, value = self.node_in(self.norm_attention(h) * (1 + scale) + shift).split(
            [self.message_width, self.message_width, h.shape[-1]], -1
        )
        pair = self.pair_in(torch.cat([self.norm_pair(e), distances(unit).to(e.dtype)], -1))
        message = nn.functional.silu(pair + query[:, :, None] + key[:, None])  # pair first: no third [N, N] array
        logits, coefficient, update = self.pair_out(message).split(self.split, -1)
        h = h + (1 + gate) * self.attention_out(self.attend(logits, value, mask))
        v = v + self.vector_mix(pull(coefficient, unit, mask))
        e = e + update
        mixed, gated = self.vector_self(unit).chunk(2, -1)
        feed = torch.cat([self.norm_feed(h) * (1 + scale_f) + shift_f, mixed.square().sum(2).to(h.dtype)], -1)
        out, gate_v = self.feed_out(nn.functional.silu(self.feed_in(feed))).split([h.shape[-1], v.shape[-1]], -1)
        return h + (1 + gate_f) * out, v + gate_v[:, :, None] * gated, e

    def attend(self, logits: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """Softmax over neighbours j, one weight per head: `[B, N, N, H]`, `[B, N, d] -> [B, N, d]`."""
        weights = logits.masked_fill(~mask[:, None, :, None], -1e4).softmax(2)
        b, n, d = value.shape
        heads = value.reshape(b, n, self.heads, d // self.heads)
        return torch.einsum("bijh,bjhd->bihd", weights.to(value.dtype), heads).reshape(b, n, d)


def nothing(x: State, atoms: int, bonds: int) -> dict[str, Tensor]:
    """The belief before the first step: zeros for coordinates, `atoms` tokens and `bonds` orders."""
    pos = full(x["pos"])
    return {
        "pos": torch.zeros_like(pos),
        "atom": pos.new_zeros(*x["atom"].shape, atoms),
        "bond": pos.new_zeros(*x["bond"].shape, bonds),
    }


def full(x: Tensor) -> Tensor:
    """x in single precision, or in its own where that is better: float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def root_mean_square(v: Tensor, mask: Tensor) -> Tensor:
    """RMS of a molecule's vectors over its real atoms, so that padding cannot show: `[B, N, 3, C] -> [B, 1, 1, 1]`."""
    real = mask[:, :, None, None].to(v.dtype)
    total = (v.square() * real).sum((1, 2, 3), keepdim=True)
    count = real.sum((1, 2, 3), keepdim=True).clamp(min=1) * v.shape[2] * v.shape[3]
    return (total / count + 1e-4).sqrt()


def pull(coefficient: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """sum_j c_ij (v_j - v_i) / sqrt(n) over real j, 0 for padding i: `[B, N, N, C]`, `[B, N, 3, C] -> [B, N, 3, C]`.

    Vectors of padding begin at 0 and so stay there. No norm holds them: their squares would grow layer by layer to
    infinity, and 0 times that is no number.
    """
    count = mask.sum(1).clamp(min=1).to(v.dtype).sqrt()
    c = coefficient.to(v.dtype) * (pair_mask(mask)[..., None] / count[:, None, None, None])
    towards = torch.einsum("bijc,bjkc->bikc", c, v)
    return towards - c.sum(2)[:, :, None] * v


def distances(v: Tensor) -> Tensor:
    """|v_i^c - v_j^c| of every pair and vector channel, `[B, N, 3, C] -> [B, N, N, C]`, in single precision or better.

    One axis after the other and not in half precision: no array holds all three, and a CPU needs a third of the time.
    """
    axes = full(v).unbind(2)
    x, y, z = ((axis[:, :, None] - axis[:, None]).square() for axis in axes)
    return (x + y + z + 1e-6).sqrt()


def pair_distance(pos: Tensor) -> Tensor:
    """|x_i - x_j|, `[B, N, 3] -> [B, N, N]`, from differences: no cancellation, finite gradient on the diagonal."""
    return ((pos[:, :, None] - pos[:, None]).square().sum(-1) + 1e-8).sqrt()
