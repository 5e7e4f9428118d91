"""Pairs that train a bridge with a memory: each scan with the wholes it recalls, and which of them a step begins at.

The nearest serves every other time and the next ones the rest, as the draws of a completion set out from all of them.
The shape of the scan is encoded anew for each, with latents that follow the places of those it sets out from
(`nn.layout`): farthest points of its own would lie as far from them as those of another shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.domains.points.latents import LatentBatches
from scigen.domains.points.memory import AROUND, Memory, recall
from scigen.domains.points.process import joined
from scigen.state import State, generator

__all__ = ["RecalledBatches", "recalled_by", "set_out", "turns"]


@dataclass(frozen=True)
class RecalledBatches:
    """Batches of pairs that set out from what they recall (`set_out`); step and rank decide from which."""

    pairs: LatentBatches
    memory: Memory

    def at(self, step: int, rank: int = 0, world: int = 1) -> State:
        """The batch of one rank at one step. Raises `InputError` when the set is smaller than a batch."""
        x = self.pairs.at(step, rank, world)
        return set_out(x, self.memory, turns(x, generator(self.pairs.seed, step, rank)))


def recalled_by(pairs: State, memory: Memory, own: Tensor) -> Tensor:
    """The R <= `AROUND` wholes that each scan recalls but its `own [M]` (`recall`): rows `[M, R]`, best first.

    Raises ValueError for a memory of one pair: its own scan would recall nothing.
    """
    if len(memory) < 2:
        raise ValueError("a memory of one shape has nothing to recall for a scan of that shape")
    return recall(memory, pairs["given"][..., :3], min(AROUND, len(memory) - 1), own)


def turns(pairs: State, rng: torch.Generator) -> Tensor:
    """Which of its wholes each pair sets out from `[B]`: the nearest with probability 1/2, else any of the others."""
    count = pairs["near"].shape[1]
    others = torch.randint(1, max(count, 2), (len(pairs.mask),), generator=rng).clamp(max=count - 1)
    return torch.where(torch.rand(len(pairs.mask), generator=rng) < 0.5, 0, others)


def set_out(pairs: State, memory: Memory, turn: Tensor) -> State:
    """Pairs as the loss of the bridge takes them (`laid_onto`), from the start that `turn [B]` names.

    Beside the scans `pairs` hold `near [B, R]`, what each recalls, and `ends [B, R, K, 3 + F]`, its shape as it follows
    each of those.
    """
    rows = torch.arange(len(turn))
    start = memory.whole(pairs["near"].cpu()[rows, turn])
    pos, feat = pairs["ends"][rows, turn].split([3, pairs["ends"].shape[-1] - 3], -1)
    fields = {name: x for name, x in pairs.fields.items() if name not in ("near", "ends")}
    return State({**fields, "pos": pos, "feat": feat, "start": joined(start).to(pos)}, pairs.mask)
