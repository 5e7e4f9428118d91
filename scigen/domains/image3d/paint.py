"""Colours of a reconstructed surface: from views that have colours, or from the picture it was made of."""

from __future__ import annotations

import numpy as np

from scigen.domains.image3d.rig import CameraRig, Viewpoint
from scigen.domains.image3d.subject import Subject, frame
from scigen.domains.image3d.views import Views
from scigen.domains.shapes.rays import trace_all
from scigen.io.shape import Mesh

__all__ = ["painted", "painted_by_picture"]

_BEHIND = 0.04  # diameters behind what a view saw beyond which a vertex is hidden from it
_PIXELS = 192  # a side of the picture that tells what the camera sees of the mesh
_FACING = 0.2  # cosine below which the camera sees a surface too flat to take its colour
_ALIKE = 0.01  # mean distance of a mesh to its mirror image, in diameters, up to which it counts as symmetric
_AROUND = 4  # vertices that a hidden one takes the mean colour of


def painted(mesh: Mesh, views: Views, plain: np.ndarray) -> np.ndarray:
    """Colours of the vertices `[V, 3]` uint8: the mean of the views that see them, by the cube of how they face each.

    A vertex that no view sees is `plain [3]`. Raises ValueError for views without colours.
    """
    if views.colour is None:
        raise ValueError("these views have no colours; paint by the picture.")
    total = 1e-4 * np.tile([*plain, 1.0], (len(mesh.vertices), 1))
    normals, axes = _vertex_normals(mesh), views.rig.axes(views.seen)
    for v, pose in enumerate(views.rig.poses(views.pixels, views.seen)):
        xy, z = pose.project(mesh.vertices.astype(np.float64))
        column, row = np.clip(np.rint(xy), 0, views.pixels - 1).astype(int).T
        weight = np.maximum(normals @ axes[v, 2], 0) ** 3 * views.solid[v][row, column]
        if views.depth is not None:
            weight = weight * (z < views.depth[v][row, column] + _BEHIND)
        total += weight[:, None] * np.column_stack([views.colour[v][row, column], np.ones(len(row))])
    return np.rint(255 * (total[:, :3] / total[:, 3:]).clip(0, 1)).astype(np.uint8)


def painted_by_picture(mesh: Mesh, subject: Subject, seen: Viewpoint) -> np.ndarray:
    """Colours of the vertices `[V, 3]` uint8, as the picture shows them to a parallel camera at `seen`, light and all.

    The mesh is framed as the picture is. A vertex that the camera does not see takes the mean of the nearest that it
    does; where left and right of the mesh are alike (x and -x), the mirror images of those are as good. Where nothing
    of it is seen, all have the mean colour of the object.
    """
    at, shown = _in_picture(mesh, seen, len(subject.mask))
    column, row = np.clip(np.rint(at), 0, len(subject.mask) - 1).astype(int).T
    shown &= subject.mask[row, column] > 0.5
    colours = subject.rgb[row, column].astype(np.float64)
    if not shown.any():
        colours[:] = subject.rgb[subject.mask > 0.5].mean(0)
    elif not shown.all():
        colours[~shown] = _from_nearest(mesh.vertices.astype(np.float64), shown, colours)
    return np.rint(255 * colours.clip(0, 1)).astype(np.uint8)


def _in_picture(mesh: Mesh, seen: Viewpoint, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of every vertex in the framed picture `[V, 2]`, and whether the camera sees it `[V]`."""
    (pose,) = CameraRig((seen.azimuth,), (seen.elevation,)).poses(_PIXELS)
    (hits,) = trace_all(mesh, [pose])
    outline, depth = np.zeros(_PIXELS**2, np.float32), np.full(_PIXELS**2, np.inf)
    outline[hits.pixel] = 1
    depth[hits.pixel] = (hits.points - pose.eye) @ pose.axes[2]
    left, top, right, _ = frame(outline.reshape(_PIXELS, _PIXELS))
    xy, z = pose.project(mesh.vertices.astype(np.float64))
    column, row = np.clip(np.rint(xy), 0, _PIXELS - 1).astype(int).T
    shown = (_vertex_normals(mesh) @ seen.axes()[2] > _FACING) & (z < depth[row * _PIXELS + column] + _BEHIND / 2)
    return (xy + 0.5 - [left, top]) * pixels / (right - left) - 0.5, shown


def _from_nearest(vertices: np.ndarray, shown: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Mean colours of the nearest `shown` vertices, for those that are not."""
    from scipy.spatial import cKDTree

    mirror = np.array([-1.0, 1.0, 1.0])
    known, paint = vertices[shown], colours[shown]
    if cKDTree(vertices).query(vertices[:: max(1, len(vertices) // 1000)] * mirror)[0].mean() < _ALIKE:
        known, paint = np.concatenate([known, known * mirror]), np.concatenate([paint, paint])
    count = min(_AROUND, len(known))
    nearest = cKDTree(known).query(vertices[~shown], k=count)[1].reshape(-1, count)
    return paint[nearest].mean(1)


def _vertex_normals(mesh: Mesh) -> np.ndarray:
    """Area-weighted means of the normals of the faces around, `[V, 3]` unit."""
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces], 1, 0)
    across = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(mesh.faces.ravel(), np.repeat(across[:, d], 3), len(mesh.vertices)) for d in range(3)], -1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
