"""Pairs that train a bridge with a memory: each scan with the wholes it recalls, and which of them a step begins at.

The nearest serves every other time and the next ones the rest, as the draws of a completion set out from all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.domains.points.latents import LatentBatches, assigned
from scigen.domains.points.memory import AROUND, Memory, recall
from scigen.domains.points.process import joined
from scigen.state import State, generator

__all__ = ["RecalledBatches", "set_out", "turns", "with_recall"]

_TOGETHER = 4096  # pairs whose assignments are found at once


@dataclass(frozen=True)
class RecalledBatches:
    """Batches of `with_recall` pairs that set out from what they recall; step and rank decide from which."""

    pairs: LatentBatches
    memory: Memory

    def at(self, step: int, rank: int = 0, world: int = 1) -> State:
        """The batch of one rank at one step. Raises `InputError` when the set is smaller than a batch."""
        x = self.pairs.at(step, rank, world)
        return set_out(x, self.memory, turns(x, generator(self.pairs.seed, step, rank)))


def with_recall(pairs: State, memory: Memory, own: Tensor) -> State:
    """`pairs` with `near [M, R]`, the R <= `AROUND` wholes that each scan recalls but its `own [M]` (`recall`), and
    `order [M, R, K]`, which assigns the tokens of the pair's whole to those of each.

    Raises ValueError for a memory of one pair: its own scan would recall nothing.
    """
    if len(memory) < 2:
        raise ValueError("a memory of one shape has nothing to recall for a scan of that shape")
    near = recall(memory, pairs["given"][..., :3], min(AROUND, len(memory) - 1), own)
    every = range(0, len(near), _TOGETHER)
    parts = [pairs.map(lambda x, k=k: x[k : k + _TOGETHER]) for k in every]  # type: ignore[misc]
    order = [
        torch.stack([assigned(part, memory.pos[rows]) for rows in near[k : k + _TOGETHER].T], 1)
        for k, part in zip(every, parts)
    ]
    return pairs.replace(near=near, order=torch.cat(order).to(torch.int16))


def turns(pairs: State, rng: torch.Generator) -> Tensor:
    """Which of its wholes each pair sets out from `[B]`: the nearest with probability 1/2, else any of the others."""
    count = pairs["near"].shape[1]
    others = torch.randint(1, max(count, 2), (len(pairs.mask),), generator=rng).clamp(max=count - 1)
    return torch.where(torch.rand(len(pairs.mask), generator=rng) < 0.5, 0, others)


def set_out(pairs: State, memory: Memory, turn: Tensor) -> State:
    """Pairs as the loss of the bridge takes them (`laid_onto`), from the start that `turn [B]` names."""
    rows = torch.arange(len(turn))
    start = memory.whole(pairs["near"].cpu()[rows, turn])
    order = pairs["order"].cpu()[rows, turn].long()[..., None].to(pairs["pos"].device)
    fields = {name: x for name, x in pairs.fields.items() if name not in ("near", "order")}
    fields |= {name: pairs[name].gather(1, order.expand_as(pairs[name])) for name in ("pos", "feat")}
    return State({**fields, "start": joined(start).to(pairs["pos"])}, pairs.mask)
