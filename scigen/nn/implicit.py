"""Latent points to the signed distance at any place, blended from what the nearest latents say of it.

Latent i sees a query x through quadrics that attention over the others wrote, one for each hidden unit h and one more
that is an answer already,

    q_ih(x) = s . A_ih s + a_ih . s + b_ih, s = x - p_i,    f(x) = sum_i w_i(x) q_i0(x) + g(sum_i w_i(x) m(q_i(x)))

with perceptrons m and g and weights w that vanish where a latent stops being one of the nearest: a partition of unity
(Ohtake et al. 2003, doi:10.1145/882262.882293) whose corrections are learnt. Only displacements are read, so the
distance moves with the latents. Local latents that are blended: 3DILG, arXiv:2205.13914; signed distance by a network:
DeepSDF, arXiv:1901.05103.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scigen.nn.attention import full
from scigen.nn.neighbours import gather
from scigen.nn.point_attention import PointAttention, RelativeBias
from scigen.state import State

__all__ = ["ImplicitNetwork", "ImplicitShape"]

_UNIT = 0.15  # of displacements: about the radius of what a latent stands for
_VALUE = 0.1  # distances leave the network in units of this
_READS = ("token", "bias", "layers", "norm")  # named as in `nn.point_decoder.PointDecoder`
_TERMS = 10  # of a quadric: a constant, three linear ones, six products


@dataclass(frozen=True)
class ImplicitShape:
    """Shape of the network; the defaults are those of the preset, and read latents as the shipped codec does."""

    feature: int = 32  # of the codec
    width: int = 192
    heads: int = 6
    layers: int = 4
    neighbours: int = 6  # latents a query asks; the farthest of them has no say
    hidden: int = 64  # per query and latent


class ImplicitNetwork(nn.Module):
    """Signed distance, below 0 inside, in units of the bounding sphere's diameter."""

    def __init__(self, shape: ImplicitShape) -> None:
        super().__init__()
        c = self.shape = shape
        self.token = nn.Linear(c.feature, c.width)
        self.bias = RelativeBias(c.layers, c.heads)
        self.layers = nn.ModuleList(PointAttention(c.width, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.quadrics = nn.Linear(c.width, _TERMS * (1 + c.hidden))
        self.mix = nn.Linear(c.hidden, c.hidden)
        self.say = nn.Linear(c.hidden, 1)
        self.out = nn.Sequential(nn.Linear(c.hidden, c.hidden), nn.SiLU(), nn.Linear(c.hidden, 1))

    def read_as(self, decoder: nn.Module) -> bool:
        """Take over how a `PointDecoder` reads latents, where it has the same shape; whether it has."""
        mine, given = (
            {name: x for name, x in net.state_dict().items() if name.split(".")[0] in _READS} for net in (self, decoder)
        )
        if {name: x.shape for name, x in mine.items()} != {name: x.shape for name, x in given.items()}:
            return False
        self.load_state_dict(given, strict=False)
        return True

    def forward(self, latents: State, query: Tensor) -> Tensor:
        """`[B, Q]` at `query [B, Q, 3]` of latents `pos [B, K, 3]`, `feat [B, K, F]`."""
        return self.ask(*self.read(latents), query)

    def read(self, latents: State) -> tuple[Tensor, Tensor]:
        """What queries ask: positions, and the coefficients of the quadrics, `[B, K, 10, 1 + hidden]`."""
        pos, h = latents["pos"], self.token(latents["feat"])
        for layer, bias in zip(self.layers, self.bias(pos), strict=True):
            h = layer(h, pos, bias)
        return pos, full(self.quadrics(self.norm(h))).unflatten(-1, (_TERMS, -1))

    def ask(self, pos: Tensor, quadrics: Tensor, query: Tensor) -> Tensor:
        """`[B, Q]`: the nearest latents' answers, blended; no jump where the set of the nearest changes."""
        far = torch.cdist(query, pos, compute_mode="donot_use_mm_for_euclid_dist")
        distance, index = far.topk(min(self.shape.neighbours, pos.shape[1]), largest=False)
        answer, seen = _values(quadrics, _terms(query[:, :, None] - gather(pos, index)), index).split(
            [1, self.shape.hidden], -1
        )
        h = silu(self.mix(silu(seen)))
        near = (1 - (distance / distance[..., -1:].clamp(min=1e-9)).square()).clamp(min=0)
        weight = near[..., None] * full(self.say(h)).clamp(-20, 20).exp()  # [B, Q, k, 1]
        weight = weight / weight.sum(2, keepdim=True).clamp(min=1e-12)
        correction = full(self.out((weight.to(h.dtype) * h).sum(2)))
        return _VALUE * ((weight * answer).sum(2) + correction)[..., 0]


def _terms(step: Tensor) -> Tensor:
    """What a quadric is linear in, of displacements `[..., 3]`: `[..., 10]`."""
    x = step / _UNIT
    return torch.cat([torch.ones_like(x[..., :1]), x, x.square(), x * x.roll(1, -1)], -1)


def _values(quadrics: Tensor, terms: Tensor, index: Tensor) -> Tensor:
    """`terms [B, Q, k, 10]` times the `quadrics [B, K, 10, H]` of latents `index [B, Q, k]`: `[B, Q, k, H]`.

    Pairs are put together by latent, each of which brings its matrix once: a matrix a pair takes seven times as long.
    """
    batch, latents, count, width = quadrics.shape
    owner = (index + latents * torch.arange(batch, device=index.device)[:, None, None]).flatten()
    held = owner.bincount(minlength=batch * latents)
    order = owner.argsort(stable=True)
    place = torch.empty_like(owner)
    place[order] = torch.arange(len(owner), device=owner.device) - (held.cumsum(0) - held)[owner[order]]
    most = int(held.max())
    slot = owner * most + place
    table = terms.new_zeros(batch * latents * most, count).index_copy(0, slot, terms.reshape(-1, count))
    found = table.unflatten(0, (-1, most)) @ quadrics.flatten(0, 1).to(terms.dtype)
    return found.flatten(0, 1).index_select(0, slot).unflatten(0, index.shape)
