"""Latent points from a picture as a training task: the belief about them from their noise and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from scigen.domains.epochs import rows_at
from scigen.domains.image3d.tokens import picture_tokens
from scigen.domains.image3d.viewset import ViewSet
from scigen.domains.points.prior_task import PriorLoss, prior_loss
from scigen.domains.points.process import Scale
from scigen.process.product import Product
from scigen.state import State

__all__ = ["PictureLatentBatches", "PictureLatentsTask"]


@dataclass(frozen=True)
class PictureLatentBatches:
    """Stored latents `x`, row m of the shape at `rows[m]` of `views`; one of its pictures is drawn for each sample.

    Batch `step` is a function of (seed, rank, world, step) alone.
    """

    views: ViewSet
    rows: np.ndarray
    x: State
    patch: int
    batch: int
    seed: int

    def at(self, step: int, rank: int = 0, world: int = 1) -> State:
        """The batch of one rank at one step, `picture` with it. Raises `InputError` for fewer shapes than a batch."""
        chosen = rows_at(step, rank, world, self.batch, len(self.rows), (self.seed,))
        which = np.random.default_rng([self.seed, 1, step, rank]).integers(
            self.views.azimuth.shape[1], size=len(chosen)
        )
        subjects = [self.views.subject(int(k), int(i)) for k, i in zip(self.rows[chosen], which)]
        pixels = self.views.depth.shape[2]
        picture = torch.cat([picture_tokens(one, pixels, self.patch) for one in subjects])
        index = torch.tensor(chosen, device=self.x.mask.device)
        batch = self.x.map(lambda v: v[index])
        return batch.replace(picture=picture.to(self.x.mask.device))


@dataclass(frozen=True)
class PictureLatentsTask:
    """A network, the noise, the pairs of pictures and latents, their scale, and facts about the data.

    A share `loss_config.forget` of the pictures is hidden.
    """

    network: nn.Module
    process: Product
    batches: PictureLatentBatches
    scale: Scale
    loss_config: PriorLoss
    facts: Mapping[str, Any] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, shapes)."""
        x0 = self.scale.enter(self.batches.at(step, world.rank, world.size))
        known = torch.rand(len(x0.mask), generator=rng, device=rng.device).to(x0.mask.device) >= self.loss_config.forget
        shown = x0.replace(picture=x0["picture"] * known[:, None, None])
        total, terms = prior_loss(network, self.process, shown, rng, self.loss_config)
        return total, terms, len(x0.mask)
