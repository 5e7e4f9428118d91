"""Pictures of meshes as a photographer might take them: any side, any lens, any paint, light and backdrop."""

from __future__ import annotations

import numpy as np

from scigen.domains.image3d.light import Light
from scigen.domains.image3d.render import Look, draw
from scigen.domains.image3d.rig import CameraRig, Viewpoint
from scigen.domains.image3d.subject import Subject, framed
from scigen.io.images import Picture
from scigen.io.shape import Mesh

__all__ = ["photograph", "random_look", "random_viewpoint", "taken"]

_MARGIN = 1.04  # of the object's sphere


def random_viewpoint(rng: np.random.Generator, low: float = -10.0, high: float = 40.0) -> Viewpoint:
    """Any azimuth, and an elevation between `low` and `high` degrees, uniform."""
    return Viewpoint(float(rng.uniform(0, 360)), float(rng.uniform(low, high)))


def random_look(mesh: Mesh, rng: np.random.Generator) -> Look:
    """A colour for each part of the mesh, one for all in a third of the cases; lamp, sky and gloss at random."""
    parts = np.zeros(len(mesh.faces), np.int64) if mesh.part is None else mesh.part.astype(np.int64)
    paints = rng.uniform(0.05, 0.95, (int(parts.max(initial=0)) + 1, 3))
    grey = rng.random((len(paints), 1)) < 0.3
    paints = np.where(grey, paints.mean(1, keepdims=True), paints)
    if rng.random() < 1 / 3:
        paints[:] = paints[0]
    lamp = rng.normal(size=3) + [0, 0.8, 1.0]
    strength = rng.uniform(0.3, 0.8)
    light = Light(
        tuple(lamp), rng.uniform(0.15, 0.5), rng.uniform(0, 0.3), strength, rng.uniform(0, 0.5), rng.uniform(5, 60)
    )
    return Look(paints[parts], light)


def taken(
    mesh: Mesh, look: Look, seen: Viewpoint, pixels: int = 48, fov: float | None = None, smooth: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Colour `[N, N, 3]` and coverage `[N, N]` of a picture that holds the unit sphere, `smooth`^2 rays a pixel, by a
    lens of `fov` degrees, or by parallel rays.
    """
    if fov is None:
        rig = CameraRig((seen.azimuth,), (seen.elevation,))
    else:
        far = 0.5 * _MARGIN / float(np.sin(np.radians(fov / 2)))
        rig = CameraRig((seen.azimuth,), (seen.elevation,), "absolute", "canonical", "persp", fov, far)
    return draw(mesh, rig.poses(pixels)[0], look, smooth)


def photograph(mesh: Mesh, seen: Viewpoint, pixels: int, rng: np.random.Generator) -> tuple[Subject, Picture]:
    """The object framed as pictures are for a prior, and the picture around it, before a random backdrop.

    Twice as fine as `pixels`, random look, a lens of 15 to 50 degrees. Outlines keep a trace of the backdrop, as those
    of cut-out photographs do.
    """
    rgb, cover = taken(mesh, random_look(mesh, rng), seen, 2 * pixels, float(rng.uniform(15, 50)), smooth=1)
    top, bottom = rng.uniform(0, 1, (2, 3))
    slope = np.linspace(0, 1, 2 * pixels)[:, None, None]
    scene = cover[..., None] * rgb + (1 - cover[..., None]) * ((1 - slope) * top + slope * bottom)
    subject = framed(scene.astype(np.float32), cover, pixels)
    return subject, Picture(np.rint(255 * scene).astype(np.uint8), np.rint(255 * cover).astype(np.uint8))
