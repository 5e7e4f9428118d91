"""The training loss of the molecule network: coordinates, tokens, bonds, and late bond lengths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.coupling import Coupling, independent
from scigen.denoiser import Network
from scigen.domains.molecules.codec import BOND_ORDERS, TOKENS
from scigen.nn.transformer import nothing, pair_distance
from scigen.objective import late_times, truncated_snr
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.state import State, normal, pair_mask

__all__ = ["LossConfig", "molecule_loss"]

@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; coordinates in units of `codec.SCALE` Å."""

    snr_cap: float = 25.0
    atom: float = 0.2
    bond: float = 1.0
    length: float = 2.0  # bonded distances, only below `length_until`
    length_until: float = 0.3
    self_condition: float = 0.5  # share of batches that see their own first belief


def molecule_loss(
    network: Network,
    process: Product,
    x0: State,
    rng: torch.Generator,
    config: LossConfig,
    couple: Coupling = independent,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Total loss of a batch and its terms (scalars): x0-prediction under log-SNR conditioning.

    pos: min(1 + SNR, cap) |x0 - x0hat|^2; atom, bond: cross-entropies; length: L1 of bonded distances for small t
    (EQGAT-diff arXiv:2309.17296, SemlaFlow arXiv:2406.07266). `couple` may pair the source with the data.
    """
    affine = process.parts["pos"]
    assert isinstance(affine, Affine), "coordinates are noised by an affine process"
    t = late_times(len(x0.mask), rng)
    x1 = process.source(x0, rng)
    x1 = process.project(x1.replace(pos=normal(x0["pos"], rng)))
    x_t = process.noise(x0, couple(x0, x1), t, rng)
    logsnr = affine.logsnr(t)
    scaled = x_t.replace(pos=x_t["pos"] / affine.scale(t)[:, None, None])
    previous = nothing(x_t, len(TOKENS), BOND_ORDERS)
    if torch.rand((), generator=rng, device=rng.device) < config.self_condition:
        with torch.no_grad():
            out = network(scaled, logsnr, previous)
        previous = {"pos": out["pos"], "atom": out["atom"].softmax(-1), "bond": out["bond"].softmax(-1)}
    terms = _terms(network(scaled, logsnr, previous), x0, t, logsnr, config)
    total = terms["pos"] + config.atom * terms["atom"] + config.bond * terms["bond"] + config.length * terms["length"]
    return total, terms


def _terms(out: dict[str, Tensor], x0: State, t: Tensor, logsnr: Tensor, config: LossConfig) -> dict[str, Tensor]:
    node, pair = x0.mask, pair_mask(x0.mask)
    weight = truncated_snr(logsnr, config.snr_cap)
    square = (out["pos"] - x0["pos"]).square().mean(-1)
    bonded = (x0["bond"] > 0) & (t < config.length_until)[:, None, None]
    stretch = (pair_distance(out["pos"]) - pair_distance(x0["pos"])).abs()
    return {
        "pos": _mean(square * weight[:, None], node),
        "atom": _mean(_cross_entropy(out["atom"], x0["atom"]), node),
        "bond": _mean(_cross_entropy(out["bond"], x0["bond"]), pair),
        "length": _mean(stretch, bonded),
    }


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return logits.logsumexp(-1) - logits.gather(-1, target[..., None]).squeeze(-1)


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask).sum() / mask.sum().clamp(min=1)
