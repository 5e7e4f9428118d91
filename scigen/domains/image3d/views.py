"""The views of one object: what the cameras of a rig see, or what a prior imagines that they see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scigen.domains.image3d.rig import AHEAD, CameraRig, Viewpoint

__all__ = ["Views"]


@dataclass(frozen=True)
class Views:
    """V pictures of N x N pixels by the cameras of `rig`, for an input picture `seen` from there.

    mask    [V, N, N]      share of the pixel that the object covers; what is above one half counts as object
    normal  [V, N, N, 3]   unit, in the camera's axes (right, up, towards it), zero off the object, or None
    depth   [V, N, N]      forward from the camera's plane, in diameters; the rig's radius off the object, or None
    colour  [V, N, N, 3]   in [0, 1], or None

    All float32. Raises ValueError for shapes that do not fit each other and the rig, and for a NaN.
    """

    rig: CameraRig
    mask: np.ndarray
    normal: np.ndarray | None = None
    depth: np.ndarray | None = None
    colour: np.ndarray | None = None
    seen: Viewpoint = AHEAD

    def __post_init__(self) -> None:
        shape = self.mask.shape
        if self.mask.ndim != 3 or shape[0] != len(self.rig) or shape[1] != shape[2]:
            raise ValueError(f"`mask` is {list(shape)}; a rig of {len(self.rig)} views has [{len(self.rig)}, N, N].")
        for name, tail in (("mask", ()), ("normal", (3,)), ("depth", ()), ("colour", (3,))):
            array = getattr(self, name)
            if array is not None and array.shape != shape + tail:
                raise ValueError(f"`{name}` is {list(array.shape)}; with this mask it must be {list(shape + tail)}.")
            if array is not None and not np.isfinite(array).all():
                raise ValueError(f"`{name}` holds NaN or infinity; a prior must say nothing rather than that.")

    @property
    def pixels(self) -> int:
        """N."""
        return self.mask.shape[1]

    @property
    def solid(self) -> np.ndarray:
        """Which pixels show the object, `[V, N, N]` bool."""
        return self.mask > 0.5

    def world_normals(self) -> np.ndarray:
        """The normals in the object's axes, `[V, N, N, 3]`. Raises ValueError where there are none."""
        if self.normal is None:
            raise ValueError("these views have no normals; take a prior that provides them.")
        return np.einsum("vijc,vcd->vijd", self.normal, self.rig.axes(self.seen))
