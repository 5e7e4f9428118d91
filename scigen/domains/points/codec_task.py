"""The codec of clouds as a training task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from scigen.domains.points.batches import TARGETS, CloudBatches, Oriented, augmented
from scigen.domains.points.codec_loss import CodecLoss, codec_loss
from scigen.nn.layout import following
from scigen.nn.neighbours import farthest, gather
from scigen.nn.point_decoder import disk
from scigen.nn.point_encoder import CodecShape, gather_patches

__all__ = ["CodecTask"]


@dataclass(frozen=True)
class CodecTask:
    """A `PointCodec`, the clouds, the weights of the loss, and facts about the data."""

    network: nn.Module
    shape: CodecShape
    batches: CloudBatches
    loss_config: CodecLoss
    facts: Mapping[str, Any] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, shapes)."""
        seen, target = augmented(self.batches.at(step, world.rank, world.size), rng)
        oriented = self._uniform(rng, len(seen.points)) >= self.loss_config.unoriented
        center = self._places(seen.points, rng)
        patches = gather_patches(seen.points, seen.normals, self.shape, None, oriented, center)
        turn, shift = self._uniform(rng, 2)
        code = disk(-(-TARGETS // self.shape.latents), turn, shift)
        decoded = Oriented(*network(patches, code.to(rng.device), *self._noise(rng, len(oriented))))
        total, terms = codec_loss(decoded, target, self.loss_config)
        return total, terms, len(oriented)

    def _places(self, points: Tensor, rng: torch.Generator) -> Tensor:
        """Where latents stand `[B, K, 3]`: on farthest points, or where following those of a like shape would lead."""
        c, picked = self.loss_config, gather(points, farthest(points, self.shape.latents))
        noise = torch.randn(picked.shape, generator=rng, device=rng.device)
        level = c.place_noise * self._uniform(rng, len(points))[:, None, None]
        moved = self._uniform(rng, len(points))[:, None, None] < c.moved
        return torch.where(moved, following(points, picked + level * noise), picked)

    def _noise(self, rng: torch.Generator, batch: int) -> tuple[Tensor, Tensor]:
        """Noise of the latents, at a level drawn per shape from zero to the largest: clean ones must decode best."""
        c, k = self.loss_config, self.shape.latents
        level = self._uniform(rng, batch)[:, None, None]
        pos, feat = (torch.randn(batch, k, d, generator=rng, device=rng.device) for d in (3, self.shape.feature))
        return c.pos_noise * level * pos, c.feat_noise * level * feat

    @staticmethod
    def _uniform(rng: torch.Generator, count: int) -> Tensor:
        return torch.rand(count, generator=rng, device=rng.device)
