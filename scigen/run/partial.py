"""A partial shape from anybody's file, made ready to be completed: what is done to it is said, nothing is silent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.surface import sample_surface
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.clouds import read_shape
from scigen.io.shape import Cloud, Mesh

__all__ = ["FEWEST", "MOST", "Partial", "read_partial"]

FEWEST = 32  # different points that tell anything of a shape
MOST = 16_384  # points that are looked at; more say nothing new about 32 latent points
SAMPLED = 8192  # points that stand for the surface of a mesh


@dataclass(frozen=True)
class Partial:
    """What a file holds: all its points in its own units and place (float64), and those that are looked at.

    `seen` are up to 16,384 of them in the unit frame, float32; `treatment` says in words what was done.
    """

    cloud: Cloud
    seen: Cloud
    frame: Frame
    treatment: tuple[str, ...]


def read_partial(path: Path) -> Partial:
    """Read a cloud, or a mesh to sample, in any format of `read_shape`.

    Raises `InputError` for what that refuses, for fewer than 32 different points and for a shape without extent;
    `ResourceError`. The draws of points are the same every time.
    """
    shape = read_shape(path)
    rng, done = np.random.default_rng(0), []
    try:
        unit, frame = unit_shape(shape)
        if isinstance(unit, Mesh):
            done.append(f"a mesh of {len(unit.faces):,} triangles: {SAMPLED:,} points of its surface stand for it")
            unit = sample_surface(unit, SAMPLED, rng)[0]
    except ValueError as error:
        raise InputError(f"`{path}` cannot be completed: {error}") from None
    cloud = shape if isinstance(shape, Cloud) else Cloud(frame.leave(unit.points), unit.normals)
    if len(unit) > MOST:
        rows = np.sort(rng.permutation(len(unit))[:MOST])
        done.append(f"{len(unit):,} points: {MOST:,} of them are looked at, all are kept")
        unit = Cloud(unit.points[rows], None if unit.normals is None else unit.normals[rows])
    if (held := len(np.unique(unit.points, axis=0))) < FEWEST:
        raise InputError(f"`{path}` holds {held} different points, and a completion needs {FEWEST}; scan more of it.")
    return Partial(cloud, unit, frame, tuple(done))
