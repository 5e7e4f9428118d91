"""Solids on a voxel grid, and the surface they are taken to have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scigen.io.shape import Mesh

__all__ = ["Solids", "solid_mesh"]

_PAD = 2  # empty voxels around the grid, so that the surface closes


@dataclass(frozen=True)
class Solids:
    """M solids on grids of `size`^3 voxels, one bit each: `packed [M, size^3 / 8]` uint8, axes x, y, z."""

    packed: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.packed)

    def voxels(self, k: int) -> np.ndarray:
        """Occupancy of solid k, `[size, size, size]` bool."""
        return np.unpackbits(self.packed[k]).reshape(self.size, self.size, self.size).astype(bool)

    def mesh(self, k: int) -> Mesh:
        """The surface of solid k in units of a voxel; see `solid_mesh`."""
        return solid_mesh(self.voxels(k))


def solid_mesh(voxels: np.ndarray, blur: float = 0.7, thin: float = 0.55, level: float = 0.35) -> Mesh:
    """The closed surface max(G_blur * v, thin v) = level of a solid `v [X, Y, Z]`, by marching cubes.

    Voxel (i, j, k) fills the cube from (i, j, k) to (i + 1, j + 1, k + 1). The light Gaussian blur (`blur` in voxels)
    takes the stairs away; the floor `thin v` keeps legs and wires of one voxel, which it would wash out. Where only
    the edges of two voxels touch, the sheets of the surface may share an edge. Raises `ValueError` for a grid that is
    empty.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    if voxels.ndim != 3 or not voxels.any():
        raise ValueError(f"a grid of shape {voxels.shape} with no occupied voxel has no surface.")
    v = np.pad(voxels.astype(np.float32), _PAD)
    field = np.maximum(gaussian_filter(v, blur, mode="constant"), thin * v)
    # `ascent` winds the faces counter-clockwise seen from the empty side.
    vertices, faces, _, _ = marching_cubes(field, level, gradient_direction="ascent")
    return Mesh((vertices - (_PAD - 0.5)).astype(np.float32), faces.astype(np.int32))
