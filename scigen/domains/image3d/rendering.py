"""From a collection of shapes to a set of views: every shape from the rig's sides, and photographed from any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scigen.domains.image3d.photograph import photograph, random_viewpoint
from scigen.domains.image3d.render import render
from scigen.domains.image3d.rig import CUBE
from scigen.domains.image3d.viewset import ViewSet, pack_depth
from scigen.domains.meshes.surface import closed_surface
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.sets import ShapeSet
from scigen.errors import InputError, NumericError, ResourceError
from scigen.io.shape import Cloud, Mesh
from scigen.parallel import one_each_core

__all__ = ["Rendered", "STREAM", "render_set", "surface_of"]

STREAM = 1000  # the stream of a shape's pictures; earlier ones draw its points and scans
_POINTS, _GRID = 16_384, 96  # of shapes that are points alone
_FULL = 127


@dataclass(frozen=True)
class Rendered:
    """The views, and the ids that failed with their reasons."""

    views: ViewSet
    failed: dict[str, str]


def render_set(
    shapes: ShapeSet,
    pixels: int = 48,
    pictures: int = 4,
    seed: int = 0,
    tell: Callable[[int], None] = lambda done: None,
) -> Rendered:
    """The cube's views of every shape, `pixels`^2, and `pictures` photographs of it from sides of its own.

    Shape k draws from `shape_rng(seed, id)`, so it is the same in every set that holds it. Shapes that are points alone
    get a surface by spectral Poisson. A shape a core at a time; `tell` hears how many are done. Raises `InputError`
    when not one shape can be seen.
    """

    def seen(k: int) -> tuple[np.ndarray, ...] | str:
        try:
            return _seen(shapes, k, pixels, pictures, shape_rng(seed, str(shapes.ids[k]), STREAM))
        except (InputError, NumericError, ResourceError, ValueError) as error:
            return str(error)

    rows, parts, failed = [], [], {}
    for k, found in enumerate(one_each_core(seen, range(len(shapes)))):
        if isinstance(found, str):
            failed[str(shapes.ids[k])] = found
        else:
            rows.append(k)
            parts.append(found)
        tell(k + 1)
    if not rows:
        name, reason = next(iter(failed.items()), ("", "there are none"))
        raise InputError(f"None of {len(shapes)} shapes of '{shapes.name}' can be seen; the first, {name}: {reason}")
    arrays = [np.stack(arrays) for arrays in zip(*parts)]
    about = (shapes.ids[rows], shapes.category[rows].astype(np.int32), shapes.split[rows].astype(np.uint8))
    return Rendered(ViewSet(shapes.name, shapes.licence, tuple(shapes.categories), *about, *arrays), failed)


def _seen(
    shapes: ShapeSet, k: int, pixels: int, pictures: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One shape's rows of `ViewSet`'s arrays, in their order."""
    mesh = surface_of(shapes, k, rng)
    views = render(mesh, CUBE, pixels)
    assert views.normal is not None and views.depth is not None
    taken = []
    for _ in range(pictures):
        at = random_viewpoint(rng)
        subject, _ = photograph(mesh, at, pixels, rng)
        rgba = np.concatenate([subject.rgb, subject.mask[..., None]], -1)
        taken.append((np.rint(255 * rgba).astype(np.uint8), at.azimuth, at.elevation))
    picture, azimuth, elevation = zip(*taken)
    normal = np.rint(_FULL * views.normal).astype(np.int8)
    return (
        normal,
        pack_depth(views.mask, views.depth, CUBE),
        np.stack(picture),
        np.array(azimuth, np.float32),
        np.array(elevation, np.float32),
    )


def surface_of(shapes: ShapeSet, k: int, rng: np.random.Generator) -> Mesh:
    """The mesh of shape k, or the one that its points are given; `rng` is that of its pictures, before any."""
    if (mesh := shapes.mesh(k)) is not None:
        return mesh
    # Points come in rounds where there are fewer than asked for; a surface takes each once.
    cloud = shapes.cloud(k, _POINTS, rng)
    once = np.sort(np.unique(cloud.points, axis=0, return_index=True)[1])
    mesh = closed_surface(Cloud(cloud.points[once], None if cloud.normals is None else cloud.normals[once]), _GRID)
    return Mesh(mesh.vertices.astype(np.float32), mesh.faces)
