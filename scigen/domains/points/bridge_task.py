"""Completion as a training task: pairs of partial and whole shapes as latent points, and the loss along the bridge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scigen.domains.points.bridge import Start, bridge_process, displaced, logsnr_of, observed, with_start
from scigen.domains.points.latents import matched
from scigen.domains.points.prior_task import forget_class, squared_error
from scigen.domains.points.process import Scale
from scigen.objective import even_times, truncated_snr
from scigen.state import State

__all__ = ["Batches", "BridgeLoss", "BridgeTask", "bridge_loss", "laid_onto", "spread_of"]


@dataclass(frozen=True)
class BridgeLoss:
    """Weights of the loss, in units of the spread."""

    snr_cap: float = 5.0
    feat: float = 1.0  # beside the positions' 1, both as means over their coordinates
    at_start: float = 0.2  # share of samples at t = 1 itself: the regression, and the first step of every run
    forget: float = 0.1  # share of samples that are shown the null class, where there are classes


class Batches(Protocol):
    """Pairs as `laid_onto` makes them, in units of variance one (`Scale.enter`): a batch of one rank at a step."""

    def at(self, step: int, rank: int = 0, world: int = 1) -> State: ...


@dataclass(frozen=True)
class BridgeTask:
    """A network, pairs, the spread of their displacements, the weights of the loss, and facts.

    `kept` are tensors that no step changes and that completion needs, such as a memory (`memory.packed`).
    """

    network: nn.Module
    batches: Batches
    spread: Scale
    loss_config: BridgeLoss
    null: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, shapes)."""
        x0 = forget_class(self.batches.at(step, world.rank, world.size), self.null, self.loss_config.forget, rng)
        total, terms = bridge_loss(network, self.spread, x0, rng, self.loss_config)
        return total, terms, len(x0.mask)


def laid_onto(whole: State, partial: State, start: Start = observed) -> State:
    """Pairs to train on: x0 = `whole` with its tokens assigned to those of `start(partial)`, and what x0 then carries.

    Both in units of variance one, row by row, in the frame of the partial cloud. The assignment is exact, by positions;
    computed once, it makes the displacement a function of the pair. Raises ValueError when the start has another number
    of tokens.
    """
    x1 = start(partial)
    if x1["pos"].shape != whole["pos"].shape or not torch.equal(x1.mask, whole.mask):
        raise ValueError(
            f"a start needs the tokens of the whole shape, {tuple(whole.mask.shape)}, got {tuple(x1.mask.shape)};"
            " encode both with as many latent points."
        )
    carried = {name: value for name, value in with_start(x1, partial).fields.items() if name not in ("pos", "feat")}
    return matched(whole, x1["pos"]).replace(**carried)


def spread_of(pairs: State) -> Scale:
    """Root mean square displacement of each field from its start: what the bridge's noise is scaled to."""
    pos, feat = pairs["start"].split([3, pairs["feat"].shape[-1]], -1)
    return Scale.of(pairs.replace(pos=pairs["pos"] - pos, feat=pairs["feat"] - feat))


def bridge_loss(
    network: Callable[..., Any], spread: Scale, x0: State, rng: torch.Generator, config: BridgeLoss
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean of min(1 + SNR, cap) |D - Dhat|^2 for positions and features, t even on (0, 1) and, for some, t = 1."""
    t = even_times(len(x0.mask), rng).clamp(1e-4, 1 - 1e-4)
    t = torch.where(torch.rand(len(t), generator=rng, device=rng.device) < config.at_start, torch.ones_like(t), t)
    parts = x0["start"].split([3, x0["feat"].shape[-1]], -1)
    x_t = bridge_process(spread).noise(x0, x0.replace(pos=parts[0], feat=parts[1]), t, rng)
    found = displaced(network, x_t, t, spread)
    weight = truncated_snr(logsnr_of(t), config.snr_cap).to(x0["pos"])
    terms = {
        name: squared_error(found[name], x0[name], x0.mask, weight) / getattr(spread, name) ** 2
        for name in ("pos", "feat")
    }
    return terms["pos"] + config.feat * terms["feat"], terms
