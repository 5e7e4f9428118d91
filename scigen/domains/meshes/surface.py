"""Oriented points to a closed mesh: areas, spectral Poisson, marching cubes, pieces, and a check by manifold3d."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from scigen.domains.meshes.pieces import join_pieces
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import NumericError
from scigen.io.shape import Cloud, Mesh
from scigen.nn.poisson import HALF, indicator

__all__ = ["Extracted", "closed_surface", "extract", "point_areas", "surface_of"]

_SMALLEST = 0.02  # of the volume of the largest piece
_NEIGHBOURS = 8
_OFF_ZERO = 1e-4  # of the jump of chi


@dataclass(frozen=True)
class Extracted:
    """A closed mesh; how many `pieces` it had before cleaning, and the share of all volume that went with some of them.

    Voids are pieces too. `joined` of the pieces were led to the largest by rods.
    """

    mesh: Mesh
    pieces: int
    dropped: float
    joined: int = 0


def closed_surface(cloud: Cloud, size: int = 64, sigma: float = 2.0) -> Mesh:
    """The mesh of `surface_of`."""
    return surface_of(cloud, size, sigma).mesh


def surface_of(cloud: Cloud, size: int = 64, sigma: float = 2.0, one: bool = False) -> Extracted:
    """The closed, manifold surface through a cloud with normals, wound outwards, in the units and place of the cloud.

    The solid's indicator comes from `scigen.nn.poisson.indicator` on a grid of `size`^3 cells, one of which is
    1.125 / `size` of the cloud's bounding sphere; thinner walls and narrower gaps than two of them melt away. `sigma`
    blurs it by sigma / pi cells. Small pieces go, or all but `one`, as in `extract`. It suits clouds that cover the
    whole surface: a hole is closed by a bulge. Normals may point inwards, all of them. Raises `ValueError` for a cloud
    without normals or extent or with fewer than 9 points, `NumericError` when no surface, or no solid, comes out.
    """
    if cloud.normals is None:
        raise ValueError(f"a cloud of {len(cloud)} points without normals has no inside; estimate them by `oriented`.")
    frame = unit_shape(cloud)[1]
    x = frame.enter(cloud.points)
    points, normals, areas = (
        torch.from_numpy(np.ascontiguousarray(a, np.float32))[None] for a in (x, cloud.normals, point_areas(x))
    )
    found = extract(indicator(points, normals, areas, size, sigma)[0].numpy(), one)
    return replace(found, mesh=Mesh(frame.leave(found.mesh.vertices), found.mesh.faces))


def point_areas(points: np.ndarray) -> np.ndarray:
    """The area that each of `points [N, 3]` stands for, `[N]`: pi d^2 / 8, d the distance to its 8th neighbour.

    Where points are scattered with density rho, pi d^2 rho has the mean 8 (a Gamma law), so the areas are right on
    average whatever the density does. Raises `ValueError` for fewer than 9 points, and for more copies than points.
    """
    from scipy.spatial import cKDTree

    if len(points) <= _NEIGHBOURS:
        raise ValueError(f"{len(points)} points tell no area; give {_NEIGHBOURS + 1} or more.")
    x = np.asarray(points, np.float64)
    areas = np.pi / _NEIGHBOURS * cKDTree(x).query(x, [_NEIGHBOURS + 1])[0][:, 0] ** 2
    if not areas.sum() > 0:
        raise ValueError(f"each of the {len(points)} points has {_NEIGHBOURS} copies or more; thin them out.")
    return areas


def extract(chi: np.ndarray, one: bool = False) -> Extracted:
    """The zero level of `chi [R, R, R]`, as `indicator` gives it, as a closed mesh in the unit frame, float32.

    Marching cubes (Lewiner et al. 2003, which closes every case). What has the sign of the border is outside, so
    normals that point inwards do no harm, and a surface that would run out of the grid is closed there. Pieces below
    2 % of the largest volume go; with `one`, those above 0.5 % are joined by `join_pieces`, and what is still apart
    goes, voids too, so that one piece is left. Raises `NumericError` for a field without a zero level and for a surface
    that manifold3d finds to be no solid.
    """
    border = np.concatenate([np.take(chi, [0, -1], axis).ravel() for axis in range(3)])
    field = np.pad(chi if np.median(border) > 0 else -chi, 1, constant_values=np.abs(chi).max())
    if not (np.isfinite(field).all() and field.min() < 0):
        raise NumericError("the points enclose nothing: chi has no zero level; are their normals all alike or NaN?")
    found = _large_pieces(_zero_level(field), _SMALLEST)
    if one and found.pieces > 1:
        field, joined = join_pieces(field)
        found = replace(_large_pieces(_zero_level(field), 1.0), pieces=found.pieces, joined=joined)
    _check(found.mesh)
    return found


def _zero_level(field: np.ndarray) -> Mesh:
    """Marching cubes of a field with a rim of one node around the grid."""
    from skimage.measure import marching_cubes

    # A node at the very level makes triangles without area, whose corners are one point.
    near = _OFF_ZERO * float(np.ptp(field))
    field = np.where(np.abs(field) < near, np.copysign(near, field), field)
    vertices, faces, _, _ = marching_cubes(field, 0.0, gradient_direction="descent")
    vertices = HALF * (2 / (len(field) - 2) * (vertices - 1.0) - 1)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def _large_pieces(mesh: Mesh, least: float) -> Extracted:
    """Pieces whose volume is at least `least` of the largest; voids are pieces of negative volume."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    vertices, faces = mesh.vertices, mesh.faces
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_array((np.ones(len(edges), np.int8), tuple(edges.T)), shape=(len(vertices),) * 2)
    piece = connected_components(graph, directed=False)[1][faces[:, 0]]
    a, b, c = np.moveaxis(vertices.astype(np.float64)[faces], 1, 0)
    volume = np.abs(np.bincount(piece, (a * np.cross(b, c)).sum(1) / 6))
    small = volume < least * volume.max()
    used, faces = np.unique(faces[~small[piece]], return_inverse=True)
    kept = Mesh(vertices[used], faces.reshape(-1, 3).astype(np.int32))
    return Extracted(kept, len(volume), float(volume[small].sum() / volume.sum()))


def _check(mesh: Mesh) -> None:
    import manifold3d

    status = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices, mesh.faces.astype(np.uint32))).status()
    if status != manifold3d.Error.NoError:
        raise NumericError(f"a surface of {len(mesh.faces)} triangles is no solid ({status.name}); change `size`.")
