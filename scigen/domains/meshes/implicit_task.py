"""The implicit decoder as a training task: signed distances asked of latent points that a frozen codec encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from scigen.domains.points.latents import LatentBatches
from scigen.state import State

__all__ = ["ImplicitLoss", "ImplicitTask", "implicit_loss"]


@dataclass(frozen=True)
class ImplicitLoss:
    """What a step asks, and the noise on latents, so that those of a prior decode alike."""

    truncate: float = 0.08  # distances count up to this; above the diagonal of a coarse cell of extraction, .061
    queries: int = 512  # of each shape in a step
    pos_noise: float = 0.015  # the largest, as of the codec
    feat_noise: float = 0.1


@dataclass(frozen=True)
class ImplicitTask:
    """A network, shapes as latents (`pos`, `feat`) with `query [M, Q, 3]` and `distance [M, Q]`, facts about them."""

    network: nn.Module
    batches: LatentBatches
    loss_config: ImplicitLoss
    facts: Mapping[str, Any] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, shapes)."""
        x = self.batches.at(step, world.rank, world.size)
        total, terms = implicit_loss(network, x, rng, self.loss_config)
        return total, terms, len(x.mask)


def implicit_loss(
    network: Callable[..., Any], x: State, rng: torch.Generator, config: ImplicitLoss
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean |cut(f) - cut(d)| / truncate over queries drawn anew, cut to [-truncate, truncate]. arXiv:1901.05103

    `side` is the share of queries within that of the surface that are told to lie on the other side of it. No gradient
    penalty: the distance is given at every query, which such a penalty stands in for.
    """
    rows = torch.randint(x["query"].shape[1], (config.queries,), generator=rng, device=rng.device).to(x.mask.device)
    places, wanted = x["query"][:, rows].float(), x["distance"][:, rows].float()
    level = torch.rand(len(places), 1, 1, generator=rng, device=rng.device).to(places.device)
    noisy = {
        name: x[name] + amount * level * torch.randn(x[name].shape, generator=rng, device=rng.device).to(places.device)
        for name, amount in (("pos", config.pos_noise), ("feat", config.feat_noise))
    }
    found, cut = network(State(noisy, x.mask), places), config.truncate
    distance = (found.clamp(-cut, cut) - wanted.clamp(-cut, cut)).abs().mean() / cut
    near = wanted.abs() < cut
    side = ((found.detach() < 0) != (wanted < 0))[near].float().mean() if near.any() else distance.detach() * 0
    return distance, {"distance": distance, "side": side}
