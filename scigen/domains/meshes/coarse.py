"""Detailed meshes made coarse: the starts from which a bridge learns to bring detail back."""

from __future__ import annotations

import numpy as np

from scigen.domains.meshes.signed import signed_distance
from scigen.domains.shapes.frame import bounding_frame
from scigen.domains.shapes.solid import solid_mesh
from scigen.io.shape import Mesh

__all__ = ["coarse_version", "decimated", "voxelised"]

_SIZES = (16, 24)  # voxels along the longest side
_TOLERANCES = (0.02, 0.06)  # of decimation, in units of the bounding sphere's diameter


def coarse_version(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    """A closed mesh voxelised at 16^3 or 24^3, or decimated; one of the three, even odds.

    What decimation would leave without volume is voxelised.
    """
    kind = int(rng.integers(3))
    if kind == 2:
        light = decimated(mesh, float(rng.uniform(*_TOLERANCES)))
        if light is not None:
            return light
    return voxelised(mesh, _SIZES[kind % 2], rng)


def voxelised(mesh: Mesh, size: int, rng: np.random.Generator) -> Mesh:
    """The surface (`solid_mesh`) of the voxels whose middle a closed mesh holds or passes, in its units and place.

    `size` voxels along its longest side; it passes a middle within a quarter of one, so that thin walls leave a trace.
    Raises `ValueError` for a `size` below 2.
    """
    if size < 2:
        raise ValueError(f"`size` {size}: give 2 voxels or more.")
    x = mesh.vertices.astype(np.float64)
    low, extent = x.min(0), np.ptp(x, axis=0)
    side = float(extent.max()) / size
    counts = np.maximum(np.ceil(extent / side - 1e-9).astype(int), 1)
    low = low - (counts * side - extent) / 2
    index = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1)
    distance = signed_distance(mesh, (low + side * (index + 0.5)).reshape(-1, 3), rng)
    held = distance < max(side / 4, float(distance.min()) + 1e-12)  # the nearest middle at the least
    solid = solid_mesh(held.reshape(counts))
    return Mesh((low + side * solid.vertices.astype(np.float64)).astype(mesh.vertices.dtype), solid.faces)


def decimated(mesh: Mesh, tolerance: float) -> Mesh | None:
    """The mesh with edges collapsed (manifold3d) that move it by less than `tolerance` bounding diameters.

    None where nothing with a volume is left, or where manifold3d takes the mesh for no solid.
    """
    import manifold3d

    scale = bounding_frame(mesh.vertices).scale
    whole = manifold3d.Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32))
    body = manifold3d.Manifold(whole).simplify(tolerance * scale)
    if body.is_empty() or body.volume() <= 0:
        return None
    light = body.to_mesh()
    return Mesh(np.asarray(light.vert_properties[:, :3], np.float32), np.asarray(light.tri_verts, np.int32))
