"""Refinement as a training task: pairs in batches, and the loss of the belief about x0 along the bridge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scigen.domains.molecules.batches import Batches
from scigen.domains.molecules.codec import SCALE
from scigen.domains.molecules.refine.bridge import SPREAD, Forward, displaced, logsnr_of
from scigen.domains.molecules.refine.pairs import PairSet
from scigen.nn.transformer import pair_distance
from scigen.objective import truncated_snr
from scigen.state import State, center, normal, pair_mask

__all__ = ["PairBatches", "RefineLoss", "RefineTask", "refine_loss"]


@dataclass(frozen=True)
class RefineLoss:
    """Weights of the terms, all in units of SPREAD (0.14 Å)."""

    snr_cap: float = 5.0
    bond: float = 4.0  # L1 of bonded distances
    angle: float = 2.0  # L1 of distances across an angle (two bonds apart)
    at_start: float = 0.6  # share of samples at t = 1 itself; later, a noised x_t gives most of x0 away


@dataclass(frozen=True)
class PairBatches:
    """`Batches` of the reference geometries, each with its start beside it; both centred, in units of `SCALE` Å."""

    batches: Batches
    start: Tensor  # [M, N, 3]

    @classmethod
    def of(cls, pairs: PairSet, batch: int, seed: int, device: str = "cpu") -> PairBatches:
        """Encode the whole set once."""
        batches = Batches.of(pairs.molecules, batch, seed, device)
        start = torch.zeros_like(batches.pos)
        for k, n in enumerate(batches.sizes.tolist()):
            x = pairs.at(k)[1]
            start[k, :n] = torch.from_numpy((x - x.mean(0)) / np.float32(SCALE))
        return cls(batches, start)

    def at(self, step: int, rank: int = 0, world: int = 1) -> State:
        """The batch of one rank at one step: `pos` (x0), `start` (x1), `atom`, `bond`."""
        rows = self.batches.rows(step, rank, world)
        x = self.batches.take(rows)
        return x.replace(start=self.start[torch.from_numpy(rows).to(self.start.device), : x.mask.shape[1]])


@dataclass(frozen=True)
class RefineTask:
    """A network, the pairs, the weights of the loss, and facts about the data."""

    network: nn.Module
    batches: PairBatches
    loss_config: RefineLoss
    facts: Mapping[str, Any] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, molecules)."""
        x = self.batches.at(step, world.rank, world.size)
        total, terms = refine_loss(network, x, rng, self.loss_config)
        return total, terms, len(x.mask)


def refine_loss(
    network: Forward, x0: State, rng: torch.Generator, config: RefineLoss
) -> tuple[Tensor, dict[str, Tensor]]:
    """Total loss of a batch of pairs and its terms (scalars), at t uniform on (0, 1) and, for some, at t = 1.

    pos: min(1 + SNR, cap) |D - Dhat|^2; bond and angle: L1 of distances one and two bonds apart, which are what a bond
    length and an angle are made of.
    """
    t = torch.rand(len(x0.mask), generator=rng, device=rng.device)
    t = torch.where(torch.rand(len(t), generator=rng, device=rng.device) < config.at_start, torch.ones_like(t), t)
    moved = (x0["pos"] - x0["start"]) / SPREAD
    w = t[:, None, None]
    noise = center(normal(moved, rng), x0.mask)
    y = torch.where(w < 1, (1 - w).sqrt() * moved + w.sqrt() * noise, torch.zeros_like(moved))
    logsnr = logsnr_of(t)
    found = displaced(network, x0.replace(pos=y), logsnr)
    square = ((found - x0["pos"]) / SPREAD).square().mean(-1) * truncated_snr(logsnr, config.snr_cap)[:, None]
    off = (pair_distance(found) - pair_distance(x0["pos"])).abs() / SPREAD
    bonded = x0["bond"] > 0
    across = (bonded.float() @ bonded.float() > 0) & ~bonded & pair_mask(x0.mask)
    terms = {"pos": _mean(square, x0.mask), "bond": _mean(off, bonded), "angle": _mean(off, across)}
    return terms["pos"] + config.bond * terms["bond"] + config.angle * terms["angle"], terms


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask).sum() / mask.sum().clamp(min=1)
