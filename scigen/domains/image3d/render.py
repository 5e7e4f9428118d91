"""What the cameras of a rig see of a mesh in the unit frame: mask, normals, depth, and colours under a light.

Rays are Embree's where `embreex` is installed, else those of a z-buffer (`scigen.domains.shapes.rays`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scigen.domains.image3d.light import Light, shaded
from scigen.domains.image3d.rig import AHEAD, CameraRig, Viewpoint
from scigen.domains.image3d.views import Views
from scigen.domains.shapes.rays import Hits, Pose, trace_all
from scigen.io.shape import Mesh

__all__ = ["Look", "draw", "render"]

_GRAZING = 0.3  # cosine below which a plane is not followed from a ray to the centre of its pixel


@dataclass(frozen=True)
class Look:
    """How a mesh is painted: a colour for each face `[F, 3]`, or one `[3]`, in [0, 1], and how it is lit."""

    colour: np.ndarray
    light: Light = Light()


def render(
    mesh: Mesh,
    rig: CameraRig,
    pixels: int = 48,
    seen: Viewpoint = AHEAD,
    look: Look | None = None,
    smooth: int = 3,
) -> Views:
    """The views of a mesh of the unit frame, `smooth`^2 rays a pixel; an odd number has one through its centre.

    The mask counts rays that hit; the normal (of the face, turned towards the camera) is that of the hit nearest to the
    centre, the depth that of its plane at the centre. Without a `look` there is no colour. Raises ValueError for a mesh
    without faces and for one that no view shows.
    """
    poses = rig.poses(pixels, seen)
    fine = [replace(pose, pixels=smooth * pixels) for pose in poses]
    maps = [_maps(hits, pose, smooth) for hits, pose in zip(_traced(mesh, fine), poses)]
    mask, normal, depth = (np.stack(parts).astype(np.float32) for parts in zip(*maps))
    colour = None if look is None else np.stack([draw(mesh, pose, look)[0] for pose in poses])
    return Views(rig, mask, normal, depth, colour, seen)


def draw(mesh: Mesh, pose: Pose, look: Look, smooth: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Colour `[N, N, 3]`, white where nothing is met, and coverage `[N, N]` of one picture, float32.

    `smooth`^2 rays a pixel; a colour at an outline is that of the part of the pixel that is covered.
    """
    fine = replace(pose, pixels=smooth * pose.pixels)
    (hits,) = _traced(mesh, [fine])
    assert hits.normals is not None and hits.face is not None
    paint = np.broadcast_to(look.colour, (len(mesh.faces), 3))[hits.face]
    lit = np.zeros((fine.pixels**2, 4))
    lit[hits.pixel, :3] = shaded(paint, hits.normals, fine.rays()[hits.pixel], fine.axes, look.light)
    lit[hits.pixel, 3] = 1
    sums = lit.reshape(pose.pixels, smooth, pose.pixels, smooth, 4).sum((1, 3))
    count = sums[..., 3:]
    colour = np.where(count > 0, sums[..., :3] / np.maximum(count, 1), 1.0)
    return colour.astype(np.float32), (count[..., 0] / smooth**2).astype(np.float32)


def _traced(mesh: Mesh, poses: Sequence[Pose]) -> list[Hits]:
    if not len(mesh.faces):
        raise ValueError("a mesh without faces cannot be seen; give one with a surface.")
    hits = trace_all(mesh, poses)
    if not any(len(one.pixel) for one in hits):
        raise ValueError(f"none of {len(poses)} views shows anything of the mesh; it must lie in the unit frame.")
    return hits


def _maps(hits: Hits, pose: Pose, smooth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask, normals in the camera's axes and depth of one view, from the hits of a picture `smooth` times finer."""
    assert hits.normals is not None
    n = pose.pixels
    row, column = np.divmod(hits.pixel, smooth * n)
    pixel = row // smooth * n + column // smooth
    middle = (smooth - 1) / 2
    off = (row % smooth - middle) ** 2 + (column % smooth - middle) ** 2
    order = np.argsort(-off, kind="stable")  # of equal pixels the last assignment stays
    mask = np.bincount(pixel, minlength=n * n) / smooth**2
    normal, depth = np.zeros((n * n, 3)), np.full(n * n, np.linalg.norm(pose.eye))
    facing, z = hits.normals @ pose.axes.T * [1, 1, -1], (hits.points - pose.eye) @ pose.axes[2]
    step = 2 * pose.slope / (smooth * n) * (1 if pose.parallel else z)
    aside = (middle - column % smooth) * facing[:, 0] - (middle - row % smooth) * facing[:, 1]
    normal[pixel[order]] = facing[order]
    depth[pixel[order]] = (z + step * aside / np.maximum(facing[:, 2], _GRAZING))[order]
    return mask.reshape(n, n), normal.reshape(n, n, 3), depth.reshape(n, n)
