"""Camera rigs: where the views of an object are taken from, in its own axes or in those of the input picture.

A camera at azimuth a and elevation e stands at c = radius (sin a cos e, sin e, cos a cos e) and looks at the origin;
y is up, a = 0 looks at the front (+z), a = 90 at the object's side towards +x. Its axes (right, up, towards itself) are
`view_rotation(a, e)`, exact straight above and below too, where up is -z and +z. Lengths in diameters of the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scigen.domains.shapes.picture import view_rotation
from scigen.domains.shapes.rays import Pose

__all__ = ["AHEAD", "CUBE", "WONDER3D", "ZERO123PLUS_11", "ZERO123PLUS_12", "CameraRig", "Viewpoint"]

_HOLDS = 0.5  # radius of the object's sphere, which every picture must hold


@dataclass(frozen=True)
class Viewpoint:
    """Where a picture was taken from: degrees around and above the object."""

    azimuth: float = 0.0
    elevation: float = 0.0

    def axes(self) -> np.ndarray:
        """Rows right, up, towards the camera, `[3, 3]`."""
        return view_rotation(self.azimuth, self.elevation)


AHEAD = Viewpoint()


@dataclass(frozen=True)
class CameraRig:
    """V cameras that all look at the origin from the same distance, by their angles in degrees.

    frame          "canonical": angles in the object's axes; "input": azimuths count from the input picture's
    elevation_is   "absolute": above the horizon; "input_relative": the whole rig turns with the input camera, so
                   azimuth 0, elevation 0 is the input picture
    half_extent_or_fov   half the width of an orthographic picture, or the full angle of a perspective one in degrees

    Raises ValueError for angles that do not pair up, a canonical rig whose elevations hang on the input, and cameras
    that cut the sphere of diameter 1 or stand inside it.
    """

    azimuth: tuple[float, ...]
    elevation: tuple[float, ...]
    elevation_is: Literal["absolute", "input_relative"] = "absolute"
    frame: Literal["canonical", "input"] = "canonical"
    projection: Literal["ortho", "persp"] = "ortho"
    half_extent_or_fov: float = 0.52
    radius: float = 2.0

    def __post_init__(self) -> None:
        if not self.azimuth or len(self.azimuth) != len(self.elevation):
            raise ValueError(f"{len(self.azimuth)} azimuths and {len(self.elevation)} elevations; give a pair a view.")
        if self.frame == "canonical" and self.elevation_is == "input_relative":
            raise ValueError("a canonical rig has absolute elevations; take frame='input' for one that turns with it.")
        if self.radius <= _HOLDS or self.reach < _HOLDS:
            raise ValueError(
                f"cameras at {self.radius} diameters with {self.half_extent_or_fov} ({self.projection}) hold a sphere"
                f" of radius {self.reach:.3g}; they must stand outside that of radius 0.5 and hold it."
            )

    def __len__(self) -> int:
        return len(self.azimuth)

    @property
    def reach(self) -> float:
        """Radius of the largest sphere about the origin that every picture holds."""
        if self.projection == "ortho":
            return self.half_extent_or_fov
        return self.radius * float(np.sin(np.radians(self.half_extent_or_fov / 2)))

    def axes(self, seen: Viewpoint = AHEAD) -> np.ndarray:
        """Rows right, up, towards the camera, of every view, `[V, 3, 3]`, for an input picture `seen` from there."""
        turned = seen.azimuth if (self.frame, self.elevation_is) == ("input", "absolute") else 0.0
        own = np.stack([view_rotation(a + turned, e) for a, e in zip(self.azimuth, self.elevation)])
        return own @ seen.axes() if self.elevation_is == "input_relative" else own

    def poses(self, pixels: int, seen: Viewpoint = AHEAD) -> list[Pose]:
        """The cameras with pictures of `pixels`^2, for an input picture `seen` from there."""
        parallel = self.projection == "ortho"
        slope = self.half_extent_or_fov if parallel else float(np.tan(np.radians(self.half_extent_or_fov / 2)))
        flip = np.array([[1.0], [1.0], [-1.0]])  # a pose's third axis is forward
        return [Pose(self.radius * axes[2], flip * axes, pixels, slope, parallel) for axes in self.axes(seen)]


# Front, right, back, left, above, below, as in CRM (arXiv:2403.05034).
CUBE = CameraRig((0, 90, 180, 270, 0, 0), (0, 0, 0, 0, 90, -90))

# Zero123++ (arXiv:2310.15110); the angle is published for 1.2 alone, the distance in neither: 2 diameters at 30 degrees
# are InstantMesh's 4 radii.
_AROUND = (30, 90, 150, 210, 270, 330)
ZERO123PLUS_11 = CameraRig(_AROUND, (30, -20) * 3, "absolute", "input", "persp", 30.0)
ZERO123PLUS_12 = CameraRig(_AROUND, (20, -10) * 3, "absolute", "input", "persp", 30.0)

# Front, front right, right, back, left, front left about the input camera's own axes (arXiv:2310.15008).
WONDER3D = CameraRig((0, 45, 90, 180, -90, -45), (0,) * 6, "input_relative", "input")
