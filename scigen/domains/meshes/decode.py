"""Latent points to closed meshes: a decoder takes one latent shape to one mesh of one piece, in the latents' frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scigen.domains.meshes.surface import Extracted, surface_of
from scigen.domains.points.codec import CloudCodec
from scigen.errors import NumericError
from scigen.nn.point_codec import PointCodec
from scigen.state import State

__all__ = ["SIGMA", "MeshDecoder", "PoissonDecoder", "cover"]

SIGMA = 1.0  # with `cover(size)` points there is nothing to blur but the grid itself


class MeshDecoder(Protocol):
    """A latent shape, a batch of one in stored units, as a mesh. Raises `NumericError` when it encloses nothing."""

    def __call__(self, latents: State) -> Extracted: ...


@dataclass(frozen=True)
class PoissonDecoder:
    """Latents -> `cover(size)` oriented points -> spectral Poisson on `size`^3 cells -> marching cubes."""

    network: PointCodec
    size: int = 64

    def __call__(self, latents: State) -> Extracted:
        (cloud,) = CloudCodec(self.network, cover(self.size)).decode(latents)
        if not np.isfinite(cloud.points).all():
            raise NumericError("non-finite points")
        try:
            return surface_of(cloud, self.size, SIGMA, one=True)
        except ValueError as error:  # all points in a few places
            raise NumericError(str(error)) from None


def cover(size: int) -> int:
    """Points that a grid of `size`^3 cells is filled from: 2 size^2.

    A surface of area A (units of the bounding sphere's diameter) crosses about 1.2 A size^2 cells, and most shapes have
    an A between .5 and 1.5: one or two points in each cell that the surface crosses.
    """
    return 2 * size**2
