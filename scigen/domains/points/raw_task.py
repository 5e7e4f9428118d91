"""The baseline without a codec: raw points from noise, trained on subsets of stored clouds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from scigen.domains.points.latents import LatentBatches
from scigen.domains.points.prior_task import PriorLoss, forget_class, prior_loss
from scigen.domains.points.process import Scale
from scigen.process.product import Product
from scigen.state import State

__all__ = ["RawTask", "some_points"]


@dataclass(frozen=True)
class RawTask:
    """A network on points, the noise of `pos`, clouds `pos [M, P, 3]`, and how many points of each a step sees.

    The network is a function of a set of any size: trained on 1,024 points it samples 2,048.
    """

    network: nn.Module
    process: Product
    batches: LatentBatches
    scale: Scale
    loss_config: PriorLoss
    points: int = 1024
    null: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, clouds)."""
        x0 = self.scale.enter(some_points(self.batches.at(step, world.rank, world.size), self.points, rng))
        x0 = forget_class(x0, self.null, self.loss_config.forget, rng)
        total, terms = prior_loss(network, self.process, x0, rng, self.loss_config)
        return total, terms, len(x0.mask)


def some_points(x: State, count: int, rng: torch.Generator) -> State:
    """`count` points of each cloud, the same places in the stored order for all: stored clouds are in random order.

    Raises ValueError when the clouds hold fewer.
    """
    held = x.mask.shape[1]
    if count > held:
        raise ValueError(f"`points` must be at most the {held} points of a stored cloud, got {count}.")
    chosen = torch.randperm(held, generator=rng, device=rng.device)[:count].to(x.mask.device)
    fields = {name: v[:, chosen] if name == "pos" else v for name, v in x.fields.items()}
    return State(fields, x.mask[:, chosen])
