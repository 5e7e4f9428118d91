"""From views to a mesh, and how well it agrees with the picture."""

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

__all__ = ["Agreement", "Reconstruct", "Reconstructor", "reprojection"]

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
