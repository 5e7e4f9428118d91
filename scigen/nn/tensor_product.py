"""Tensor-product network over molecules: messages are e3nn products of node features with spherical harmonics.

Each atom carries scalars, vectors and degree-2 tensors as one e3nn feature h; each ordered pair of real atoms carries
features e. A layer sends, for every pair,
    m_ij = (h_j (x) Y(x_j - x_i)) weighted path by path by MLP(h_i, h_j, e_ij, |x_j - x_i|),
and moves the points x themselves, so that later layers see a better geometry. The product is depthwise and a linear map
of the summed messages mixes its channels: it spans what a fully connected product with such weights does, and a
training step costs a seventeenth. O(3)-equivariant with parity: every feature is a polar tensor (0e, 1o, 2e).
Thomas et al. 2018, arXiv:1802.08219; Geiger and Smidt 2022, arXiv:2207.09453; NequIP, arXiv:2101.03164.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from e3nn import o3
from torch import Tensor, nn

from scigen.nn.embed import LogSnrEmbedding, radial_basis
from scigen.nn.transformer import nothing, pair_distance
from scigen.state import State, center, pair_mask

__all__ = ["TensorProductConfig", "TensorProductNetwork"]

REACH = 5.0  # largest distance the basis resolves, in units of the coordinates' standard deviation


@dataclass(frozen=True)
class TensorProductConfig:
    """Shape of the network; the defaults are those of `configs/molecules/qm9-e3nn.yaml`."""

    atoms: int = 9  # atom tokens
    bonds: int = 4  # bond orders
    width: int = 64  # scalars per atom, 0e
    vectors: int = 16  # vectors per atom, 1o
    tensors: int = 8  # degree-2 tensors per atom, 2e
    pair: int = 32  # features per pair
    message: int = 64  # hidden width of the radial perceptron
    layers: int = 4
    radial: int = 16  # distance basis functions
    max_atoms: int = 64  # sizes above share an embedding

    @property
    def hidden(self) -> o3.Irreps:
        """Features of an atom."""
        counts = [(self.width, (0, 1)), (self.vectors, (1, -1)), (self.tensors, (2, 1))]
        return o3.Irreps(counts).remove_zero_multiplicities()


@dataclass(frozen=True)
class Edges:
    """Ordered pairs of two different real atoms."""

    i: Tensor  # [E] receiver, a row of the flat atoms [B * N]
    j: Tensor  # [E] sender
    flat: Tensor  # [E] the pair's row in [B * N * N]
    share: Tensor  # [B * N, 1] 1 / sqrt(n) of the atom's molecule

    def gather(self, dense: Tensor) -> Tensor:
        """`[B, N, N, ...] -> [E, ...]`."""
        return dense.flatten(0, 2)[self.flat]

    def total(self, message: Tensor) -> Tensor:
        """sum_j m_ij / sqrt(n), `[E, D] -> [B * N, D]`."""
        summed = message.new_zeros(len(self.share), message.shape[-1]).index_add(0, self.i, message)
        return summed * self.share.to(message.dtype)


class TensorProductNetwork(nn.Module):
    """`Network` on a molecule `State`: coordinates of x0, logits of atom tokens and of bond orders."""

    def __init__(self, config: TensorProductConfig) -> None:
        super().__init__()
        c = self.config = config
        self.logsnr = LogSnrEmbedding(c.width)
        self.size = nn.Embedding(c.max_atoms + 1, c.width)
        self.atom = nn.Embedding(c.atoms, c.width)
        self.atom_previous = nn.Linear(c.atoms, c.width, bias=False)
        self.bond = nn.Embedding(c.bonds, c.pair)
        self.pair_in = nn.Linear(c.bonds + c.radial, c.pair)
        self.vector_in = o3.Linear("2x1o", c.hidden)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.atom_out = nn.Linear(c.width, c.atoms)
        self.vector_out = o3.Linear(c.hidden, "1x1o")
        self.bond_out = nn.Sequential(nn.Linear(c.pair + c.radial, c.message), nn.SiLU(), nn.Linear(c.message, c.bonds))
        # Start from x0 = alpha y, the best guess that ignores everything: early gradients stay tame.
        nn.init.zeros_(self.vector_out.weight)
        self.constants = set(self.state_dict()) - {name for name, _ in self.named_parameters()}
        self.register_state_dict_post_hook(drop_constants)
        self.register_load_state_dict_pre_hook(keep_constants)

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """`pos [B, N, 3]`, logits `atom [B, N, K]` and symmetric `bond [B, N, N, 4]`, in the weights' precision."""
        c, exact = self.config, self.vector_out.weight.dtype
        pos, logsnr = x["pos"].to(exact), logsnr.to(exact)
        previous = nothing(x, c.atoms, c.bonds) if previous is None else previous
        last = {name: previous[name].to(exact) for name in ("pos", "atom", "bond")}
        edges = all_pairs(x.mask)
        condition = self.logsnr(logsnr) + self.size(x.sizes.clamp(max=c.max_atoms))
        scalars = self.atom(x["atom"]) + self.atom_previous(last["atom"]) + condition[:, None]
        h = exactly(self.vector_in, torch.stack([pos, last["pos"]], -2).flatten(-2)).flatten(0, 1)
        h = torch.cat([h[:, : c.width] + scalars.flatten(0, 1), h[:, c.width :]], -1)
        before = radial_basis(edges.gather(pair_distance(last["pos"])), c.radial, REACH)
        e = edges.gather(self.bond(x["bond"])) + self.pair_in(torch.cat([edges.gather(last["bond"]), before], -1))
        points, per_atom = pos.flatten(0, 1), nn.functional.silu(condition).repeat_interleave(pos.shape[1], 0)
        for layer in self.layers:
            h, points, e = layer(h, points, e, per_atom, edges)
        return self.read_out(x, pos, logsnr, h, points, e, edges)

    def read_out(
        self, x: State, pos: Tensor, logsnr: Tensor, h: Tensor, points: Tensor, e: Tensor, edges: Edges
    ) -> dict[str, Tensor]:
        """x0 = alpha y + sigma F (arXiv:2206.00364), token logits, and bond logits of the symmetrised pairs."""
        b, n = x.mask.shape
        signal, residual = (torch.sigmoid(s * logsnr)[:, None, None].sqrt() for s in (1, -1))
        x0 = signal * pos + residual * exactly(self.vector_out, h).reshape(b, n, 3)
        pair = e.new_zeros(b * n * n, e.shape[-1]).index_copy(0, edges.flat, e).reshape(b, n, n, -1)
        distance = radial_basis(pair_distance(points.reshape(b, n, 3)), self.config.radial, REACH)
        bond = self.bond_out(torch.cat([pair + pair.transpose(1, 2), distance.to(pair.dtype)], -1))
        atom = self.atom_out(self.norm(h[:, : self.config.width])).reshape(b, n, -1)
        return {"pos": center(x0, x.mask), "atom": atom.to(pos.dtype), "bond": bond.to(pos.dtype)}


class Layer(nn.Module):
    """Tensor-product messages over every pair, then a gated feed-forward on each atom."""

    def __init__(self, c: TensorProductConfig) -> None:
        super().__init__()
        self.hidden, self.radial, self.width = c.hidden, c.radial, c.width
        channels = c.hidden.num_irreps
        self.harmonics = o3.SphericalHarmonics("0e + 1o + 2e", normalize=True, normalization="component")
        self.product = depthwise(c.hidden, self.harmonics.irreps_out)
        self.modulation = nn.Linear(c.width, 2 * c.width)
        self.norm_pair = nn.LayerNorm(c.pair)
        self.node_in = nn.Linear(c.width, 2 * c.message)
        self.pair_in = nn.Linear(c.pair + c.radial, c.message, bias=False)
        self.pair_out = nn.Linear(c.message, self.product.weight_numel + c.pair)
        self.mix = o3.Linear(self.product.irreps_out, c.hidden)
        self.move = o3.Linear(c.hidden, "1x1o")
        self.feed_in = nn.Linear(channels, 3 * c.width)
        self.feed_out = nn.Linear(3 * c.width, channels)
        self.feed_mix = o3.Linear(c.hidden, c.hidden)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        nn.init.zeros_(self.move.weight)  # the first geometry is the input's own

    def forward(
        self, h: Tensor, points: Tensor, e: Tensor, condition: Tensor, edges: Edges
    ) -> tuple[Tensor, Tensor, Tensor]:
        shift, scale = self.modulation(condition).chunk(2, -1)
        unit = self.normalise(h, shift, scale)
        step = points[edges.j] - points[edges.i]
        distance = (step.square().sum(-1) + 1e-8).sqrt()
        near = radial_basis(distance, self.radial, REACH)
        receive, send = self.node_in(unit[:, : self.width]).chunk(2, -1)
        pair = self.pair_in(torch.cat([self.norm_pair(e), near.to(e.dtype)], -1))
        message = nn.functional.silu(receive[edges.i] + send[edges.j] + pair)
        weight, update = self.pair_out(message).split([self.product.weight_numel, e.shape[-1]], -1)
        h = h + exactly(self.mix, edges.total(exactly(self.product, unit[edges.j], self.harmonics(step), weight)))
        h = h + self.feed(self.normalise(h, shift, scale))
        return h, points + exactly(self.move, h), e + update

    def normalise(self, h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Layer norm of the scalars, modulated; vectors and tensors over their own root mean square on each atom."""
        scalars, rest = h[:, : self.width], h[:, self.width :]
        scalars = nn.functional.layer_norm(scalars, (self.width,)) * (1 + scale) + shift
        rest = rest / (rest.square().mean(-1, keepdim=True) + 1e-2).sqrt()  # tame where an atom's vectors vanish
        return torch.cat([scalars.to(h.dtype), rest], -1)

    def feed(self, unit: Tensor) -> Tensor:
        """New scalars, and gates for the rest, from the invariants of an atom (scalars and squared norms)."""
        blocks = [unit[:, s].reshape(len(unit), mul, -1) for s, (mul, _) in zip(self.hidden.slices(), self.hidden)]
        squares = [b.square().mean(-1) for b in blocks[1:]]
        out = self.feed_out(nn.functional.silu(self.feed_in(torch.cat([blocks[0].squeeze(-1), *squares], -1))))
        mixed, gates = exactly(self.feed_mix, unit), out.to(unit.dtype)
        gated = [mixed[:, s] for s in self.hidden.slices()[1:]]
        start, parts = self.width, [gates[:, : self.width]]
        for block, (mul, irrep) in zip(gated, self.hidden[1:]):
            parts.append(block * gates[:, start : start + mul].repeat_interleave(irrep.dim, -1))
            start += mul
        return torch.cat(parts, -1)


def exactly(module: nn.Module, *inputs: Tensor) -> Tensor:
    """Apply an e3nn module in the precision of the first input: half precision would break the symmetry it keeps."""
    exact = inputs[0].dtype
    with torch.autocast(inputs[0].device.type, enabled=False):
        return module(*(x.to(exact) for x in inputs))


def drop_constants(module: TensorProductNetwork, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Leave e3nn's constants (Clebsch-Gordan tensors, masks) out of a saved state: a file of weights holds weights."""
    for name in module.constants:
        state.pop(prefix + name, None)


def keep_constants(module: TensorProductNetwork, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let a state without constants load strictly: those of the module stay."""
    for name in module.constants:
        state.setdefault(prefix + name, module.get_buffer(name))


def all_pairs(mask: Tensor) -> Edges:
    """Every ordered pair of two different real atoms of each molecule, from `mask [B, N]`."""
    b, i, j = pair_mask(mask).nonzero(as_tuple=True)
    n = mask.shape[1]
    share = mask.sum(1).clamp(min=1).to(torch.float64).rsqrt().repeat_interleave(n)[:, None]
    return Edges(b * n + i, b * n + j, (b * n + i) * n + j, share)


def depthwise(hidden: o3.Irreps, harmonics: o3.Irreps) -> o3.TensorProduct:
    """Product of each channel with the harmonics, one weight per pair, channel and path into the irreps of `hidden`."""
    kinds = {irrep for _, irrep in hidden}
    paths = [
        (i, j, mul, irrep)
        for i, (mul, left) in enumerate(hidden)
        for j, (_, right) in enumerate(harmonics)
        for irrep in left * right
        if irrep in kinds
    ]
    out = o3.Irreps([(mul, irrep) for _, _, mul, irrep in paths])
    instructions = [(i, j, k, "uvu", True) for k, (i, j, _, _) in enumerate(paths)]
    return o3.TensorProduct(hidden, harmonics, out, instructions, shared_weights=False, internal_weights=False)
