"""From views to a mesh that can be shown: the surface, its colours, and how well it agrees with the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scigen.domains.image3d.carve import Carving, carve
from scigen.domains.image3d.fit import Fitting, fit
from scigen.domains.image3d.rig import CameraRig, Viewpoint
from scigen.domains.image3d.subject import Subject, framed_mask
from scigen.domains.image3d.views import Views
from scigen.domains.shapes.rays import trace_all
from scigen.io.shape import Mesh

__all__ = ["Agreement", "Reconstruct", "Reconstructor", "painted", "reprojection"]

_BEHIND = 0.04  # diameters behind what a view saw beyond which a vertex is hidden from it
_AZIMUTHS, _ELEVATIONS = tuple(range(0, 360, 15)), (-5, 15, 35)
_PIXELS = 32


class Reconstructor(Protocol):
    """Views, which know their rig, to a closed mesh in the unit frame."""

    def __call__(self, views: Views) -> Mesh: ...


@dataclass(frozen=True)
class Reconstruct:
    """Carve where there is depth, fit a surface to masks and normals where there is none, or always if `always_fit`."""

    carving: Carving = Carving()
    fitting: Fitting = Fitting()
    always_fit: bool = False

    def __call__(self, views: Views) -> Mesh:
        """The closed mesh. Raises NumericError when the views leave nothing."""
        if views.depth is None or self.always_fit:
            return fit(views, self.fitting)
        return carve(views, self.carving)


@dataclass(frozen=True)
class Agreement:
    """Greatest overlap of a mesh's outline with that of the picture, in [0, 1], and the side it is reached from."""

    iou: float
    seen: Viewpoint


def reprojection(mesh: Mesh, subject: Subject, sides: Sequence[Viewpoint] = ()) -> Agreement:
    """How well some view of the mesh agrees with the picture: no truth is asked, so samples can be ranked by it.

    The overlap of coverages is the sum of the least over the sum of the greatest. `sides` are those tried, by default
    every 15 degrees around and three elevations from -5 to 35; all are framed as the picture is. Raises ValueError for
    a mesh that cannot be seen.
    """
    tried = list(sides) or [Viewpoint(a, e) for a in _AZIMUTHS for e in _ELEVATIONS]
    rig = CameraRig(tuple(v.azimuth for v in tried), tuple(v.elevation for v in tried))
    wanted = framed_mask(subject.mask, _PIXELS)
    best = Agreement(-1.0, tried[0])
    for hits, side in zip(trace_all(mesh, rig.poses(2 * _PIXELS)), tried):
        shown = np.zeros((2 * _PIXELS) ** 2, np.float32)
        shown[hits.pixel] = 1
        if shown.any():
            found = framed_mask(shown.reshape(2 * _PIXELS, -1), _PIXELS)
            iou = float(np.minimum(found, wanted).sum() / np.maximum(found, wanted).sum())
            best = max(best, Agreement(iou, side), key=lambda one: one.iou)
    if best.iou < 0:
        raise ValueError("the mesh cannot be seen from any side; it must lie in the unit frame.")
    return best


def painted(mesh: Mesh, views: Views, plain: np.ndarray) -> np.ndarray:
    """Colours of the vertices `[V, 3]` uint8: the mean of the views that see them, by the cube of how they face each.

    A vertex that no view sees, and every one where there are no colours, is `plain [3]`.
    """
    total = 1e-4 * np.tile([*plain, 1.0], (len(mesh.vertices), 1))
    if views.colour is not None:
        normals, axes = _vertex_normals(mesh), views.rig.axes(views.seen)
        for v, pose in enumerate(views.rig.poses(views.pixels, views.seen)):
            xy, z = pose.project(mesh.vertices.astype(np.float64))
            column, row = np.clip(np.rint(xy), 0, views.pixels - 1).astype(int).T
            weight = np.maximum(normals @ axes[v, 2], 0) ** 3 * views.solid[v][row, column]
            if views.depth is not None:
                weight = weight * (z < views.depth[v][row, column] + _BEHIND)
            total += weight[:, None] * np.column_stack([views.colour[v][row, column], np.ones(len(row))])
    return np.rint(255 * (total[:, :3] / total[:, 3:]).clip(0, 1)).astype(np.uint8)


def _vertex_normals(mesh: Mesh) -> np.ndarray:
    """Area-weighted means of the normals of the faces around, `[V, 3]` unit."""
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces], 1, 0)
    across = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(mesh.faces.ravel(), np.repeat(across[:, d], 3), len(mesh.vertices)) for d in range(3)], -1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
