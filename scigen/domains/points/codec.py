"""Clouds to latent points and back, with trained weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scigen.io.shape import Cloud
from scigen.nn.layout import following
from scigen.nn.point_codec import PointCodec
from scigen.nn.point_decoder import disk
from scigen.nn.point_encoder import gather_patches
from scigen.state import State

__all__ = ["CloudCodec"]

_TOGETHER = 64  # clouds a call of the network


@dataclass(frozen=True)
class CloudCodec:
    """A trained `PointCodec`; clouds are in the unit frame, `points` is how many of them a latent shape decodes to."""

    network: PointCodec
    points: int = 2048

    def encode(self, cloud: Cloud) -> State:
        """One cloud as a batch of one: `pos [1, K, 3]`, `feat [1, K, F]`; normals are read where they are known.

        Raises `ValueError` for fewer points than latents.
        """
        return self.encode_all([cloud])

    @torch.no_grad()
    def encode_all(self, clouds: Sequence[Cloud], near: Tensor | None = None) -> State:
        """Clouds of any sizes, `pos [M, K, 3]`, `feat [M, K, F]`; no cloud depends on the others.

        Latents follow the places `near [M, K, 3]` where they are given, and keep their order (`nn.layout`).
        """
        every = range(0, len(clouds), _TOGETHER)
        some = [None if near is None else near[i : i + _TOGETHER] for i in every]
        parts = [self._encoded(clouds[i : i + _TOGETHER], at) for i, at in zip(every, some, strict=True)]
        fields = {name: torch.cat([part[name] for part in parts]) for name in ("pos", "feat")}
        return State(fields, torch.cat([part.mask for part in parts]))

    def decode(self, latents: State) -> list[Cloud]:
        """One cloud of `points` oriented points a sample, spread over all latents alike."""
        return [Cloud(points.numpy(), normals.numpy()) for points, normals in self._decoded(latents)]

    def _encoded(self, clouds: Sequence[Cloud], near: Tensor | None) -> State:
        size = max(len(cloud) for cloud in clouds)
        points, normals = (torch.zeros(len(clouds), size, 3) for _ in range(2))
        for k, cloud in enumerate(clouds):
            points[k, : len(cloud)] = torch.from_numpy(cloud.points.astype(np.float32))
            if cloud.normals is not None:
                normals[k, : len(cloud)] = torch.from_numpy(cloud.normals.astype(np.float32))
        mask = torch.arange(size) < torch.tensor([len(cloud) for cloud in clouds])[:, None]
        oriented = torch.tensor([cloud.normals is not None for cloud in clouds])
        here = (x.to(self._device) for x in (points, normals, mask, oriented))
        points, normals, mask, oriented = here
        center = None if near is None else following(points, near.to(points), mask)
        return self.network.encoder(gather_patches(points, normals, self.network.shape, mask, oriented, center))

    @torch.no_grad()
    def _decoded(self, latents: State) -> Iterator[tuple[Tensor, Tensor]]:
        code = disk(-(-self.points // self.network.shape.latents)).to(self._device)
        for i in range(0, len(latents.mask), _TOGETHER):
            few = latents.map(lambda x, i=i: x[i : i + _TOGETHER].to(self._device))  # type: ignore[misc]
            points, normals = (x[:, : self.points].cpu() for x in self.network.decoder(few, code))
            yield from zip(points, normals, strict=True)

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device
