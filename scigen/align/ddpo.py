"""Policy gradients on the reverse chain: roll out, score the ends, raise the density of the better moves.

A chain is a Markov decision process whose state is x_t with the belief before it, whose action is x_s, and whose one
reward comes at the end. DDPO, Black et al. 2023, arXiv:2305.13301; with a KL to the reference it is DPOK,
arXiv:2305.16381, whose optimum is the tilted law p exp(r / beta).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scigen.align.policy import log_prob
from scigen.denoiser import Belief, Denoiser
from scigen.solver.dpm import ddim
from scigen.solver.loop import Memory, ancestral
from scigen.state import Rng, Time

__all__ = ["Rollout", "Transition", "advantages", "ddpo_loss", "replay", "rollout"]


@dataclass(frozen=True)
class Transition:
    """One move of a batch: what the policy saw (x_t, t and the belief before), what it drew, and its log density."""

    x_t: Any
    x_s: Any
    t: Time
    s: Time
    previous: Belief | None
    log_prob: Tensor  # [B]


@dataclass(frozen=True)
class Rollout:
    """The moves of a chain in order, its last state, and its last belief."""

    transitions: list[Transition]
    x: Any
    belief: Belief


@torch.no_grad()
def rollout(process: Any, denoise: Denoiser, x: Any, grid: Iterable[float], rng: Rng, eta: float = 1.0) -> Rollout:
    """Run `ddim(eta)` (`ancestral` at eta = 1, which tokens alone also have) down `grid` and record every move.

    The reward is the caller's, on the state the chain ended in. Raises ValueError for eta outside (0, 1], or a grid
    whose moves draw nothing (see `log_prob`): coordinates alone must end above sigma = 0.
    """
    solver = ancestral if eta == 1 else ddim(eta)
    transitions: list[Transition] = []
    memory: Memory | None = None
    for t, s in pairwise(float(u) for u in grid):
        previous = memory and memory.belief
        x_s, memory = solver(process, denoise, x, t, s, rng, memory)
        transitions.append(Transition(x, x_s, t, s, previous, log_prob(process, memory.belief, x, x_s, t, s, eta)))
        x = x_s
    if memory is None:
        raise ValueError("`grid` needs at least two times, from the source down.")
    return Rollout(transitions, x, memory.belief)


def replay(process: Any, denoise: Denoiser, move: Transition, eta: float = 1.0) -> tuple[Tensor, Belief]:
    """The log density `[B]` that `denoise` now gives a recorded move, and its belief there, for a KL to a reference."""
    belief = denoise(move.x_t, move.t, move.previous)
    return log_prob(process, belief, move.x_t, move.x_s, move.t, move.s, eta), belief


def advantages(reward: Tensor, group: Tensor | None = None) -> Tensor:
    """(r - mean) / std within each group (a prompt, a size), `[B]`; over the whole batch without groups.

    A group whose rewards agree says nothing and gets zeros.
    """
    group = torch.zeros(len(reward), dtype=torch.long) if group is None else group
    _, index = torch.unique(group.to(reward.device), return_inverse=True)
    count = torch.bincount(index).to(reward)
    mean = torch.zeros_like(count).index_add(0, index, reward) / count
    off = reward - mean[index]
    std = (torch.zeros_like(count).index_add(0, index, off.square()) / count).sqrt()[index]
    differ = std > 8 * torch.finfo(reward.dtype).eps * reward.abs().max()  # equal rewards, but for the mean's rounding
    return torch.where(differ, off / torch.where(differ, std, 1.0), 0.0)


def ddpo_loss(now: Tensor, then: Tensor, advantage: Tensor, clip: float = 0.2) -> Tensor:
    """-mean min(r A, clamp(r, 1 - clip, 1 + clip) A) with r = exp(now - then) per move, all `[B]`.

    `now` and `then` are log densities, `then` of the policy that drew the moves. Under that policy r = 1 and the
    gradient is that of -mean(A log p), the score-function estimate; past the clip a move no longer pulls (PPO,
    arXiv:1707.06347). Raises ValueError for a clip outside (0, 1).
    """
    if not 0 < clip < 1:
        raise ValueError(f"`clip` must lie in (0, 1), got {clip}; 0.2 is usual, 1e-4 DDPO's for mean log densities.")
    ratio = (now - then.detach()).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
