"""Solids of constructive geometry: thin functions over manifold3d; y is up and everything is centred on its axis.

One loft makes most of them: rings of equally many points joined side by side and capped. `Solid` is
`manifold3d.Manifold`: `+` unites, `-` cuts, `^` intersects, `translate`, `rotate` and `mirror` move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scigen.domains.shapes.procedural.outlines import circle, rounded

__all__ = [
    "Solid",
    "around",
    "both",
    "box",
    "extrude",
    "loft",
    "prism",
    "revolve",
    "rod",
    "slab",
    "sweep",
    "unite",
]

Solid = Any  # manifold3d.Manifold, which is imported only where it is used
Point = Sequence[float] | np.ndarray  # [3]


def loft(rings: np.ndarray) -> Solid:
    """The solid whose skin joins ring to ring, `[R, S, 3]`; the ends are capped by fans around their middles.

    The first and the last ring must see their middle from all their points. Either sense of the rings will do: the
    solid is turned the right side out. Raises `ValueError` when they enclose nothing.
    """
    import manifold3d

    count, size, _ = rings.shape
    vertices = np.concatenate([rings.reshape(-1, 3), rings[0].mean(0)[None], rings[-1].mean(0)[None]])
    here = np.arange(size)
    along = np.roll(here, -1)
    starts, last = size * np.arange(count - 1)[:, None], size * (count - 1)
    faces = np.concatenate(
        [
            np.stack([starts + here, starts + along, starts + size + along], -1).reshape(-1, 3),
            np.stack([starts + here, starts + size + along, starts + size + here], -1).reshape(-1, 3),
            np.stack([along, here, np.full(size, count * size)], -1),
            np.stack([last + here, last + along, np.full(size, count * size + 1)], -1),
        ]
    )
    volume = np.linalg.det(vertices[faces] - vertices.mean(0)).sum() / 6
    if not abs(volume) > 1e-9 * np.ptp(vertices, axis=0).max() ** 3:
        raise ValueError(f"a loft of {count} rings of {size} points encloses a volume of {volume:.2g}: it is no solid.")
    outwards = np.ascontiguousarray(faces if volume > 0 else faces[:, ::-1], np.uint64)
    return manifold3d.Manifold(manifold3d.Mesh64(np.ascontiguousarray(vertices, np.float64), outwards))


def sweep(path: np.ndarray, section: np.ndarray, scale: np.ndarray | float = 1.0) -> Solid:
    """A section `[S, 2]` carried along a path `[K, 3]` without twisting, its size times `scale [K]` or `[K, 2]`.

    The frame follows the tangent by the smallest rotation; the section's y stays near up where it can.
    Raises `ValueError` where one section would cut the next.
    """
    path = np.asarray(path, np.float64)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0]) if abs(tangent[0, 1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    sizes = np.broadcast_to(
        np.asarray(scale, np.float64).reshape(-1, 1) if np.ndim(scale) < 2 else scale, (len(path), 2)
    )
    rings = np.empty((len(path), len(section), 3))
    for k, (t, size) in enumerate(zip(tangent, sizes, strict=True)):
        up = up - (up @ t) * t
        up /= np.linalg.norm(up)
        rings[k] = path[k] + (section * size) @ np.stack([np.cross(up, t), up])
    ahead = np.einsum("ksd,kd->ks", rings[1:] - path[:-1, None], tangent[:-1])
    behind = np.einsum("ksd,kd->ks", path[1:, None] - rings[:-1], tangent[1:])
    if min(ahead.min(), behind.min()) <= 0:
        k = int(np.minimum(ahead, behind).min(1).argmin())
        raise ValueError(f"a path bends too sharply at its point {k} of {len(path)}: its sections there cross.")
    return loft(rings)


def rod(start: Point, end: Point, low: float, high: float | None = None, count: int = 16) -> Solid:
    """A round rod from `start` to `end`, of radius `low` at the start and `high` (by default the same) at the end."""
    return sweep(np.array([start, end]), circle(1.0, count), np.array([low, low if high is None else high]))


def prism(start: Point, end: Point, section: np.ndarray, scale: float = 1.0) -> Solid:
    """A straight bar from `start` to `end` with the section `[S, 2]`, at its end `scale` times as large."""
    return sweep(np.array([start, end]), section, np.array([1.0, scale]))


def box(size: Sequence[float], centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Solid:
    """A cuboid of size (x, y, z)."""
    import manifold3d

    return manifold3d.Manifold.cube(tuple(map(float, size)), True).translate(tuple(map(float, centre)))


def slab(
    size: Sequence[float], centre: Sequence[float] = (0.0, 0.0, 0.0), radius: float = 0.0, edge: float = 0.0
) -> Solid:
    """A cuboid of size (x, y, z) with vertical corners of a radius and upper and lower edges rounded by `edge`."""
    x, y, z = size
    edge = min(edge, 0.49 * y, 0.3 * min(x, z))
    turn = np.linspace(0, np.pi / 2, 3 if edge else 1)
    levels = [(edge * (1 - np.sin(a)), -y / 2 + edge * (1 - np.cos(a))) for a in turn]
    levels += [(inset, -height) for inset, height in reversed(levels)]
    rings = []
    for inset, height in levels:
        outline = rounded(x - 2 * inset, z - 2 * inset, max(radius - inset, 1e-3 * min(x, z)))
        rings.append(np.stack([outline[:, 0], np.full(len(outline), height), outline[:, 1]], 1))
    return loft(np.stack(rings) + np.asarray(centre, np.float64))


def revolve(profile: Sequence[tuple[float, float]] | np.ndarray, count: int = 28) -> Solid:
    """The profile (radius, height) `[K, 2]` turned about the y axis; both ends are closed by flat discs.

    The profile may run up the outside of a vessel and down its inside, so long as it does not cross itself.
    """
    radius, height = np.asarray(profile, np.float64).T
    ring = circle(1.0, count)
    rings = np.empty((len(radius), count, 3))
    rings[..., [0, 2]] = radius[:, None, None] * ring
    rings[..., 1] = height[:, None]
    return loft(rings)


def extrude(contours: Sequence[np.ndarray] | Any, depth: float, twist: float = 0.0) -> Solid:
    """Contours in the xy plane (holes clockwise), or a `CrossSection`, made `depth` thick, half on each side of z = 0.

    From back to front it turns by `twist` degrees.
    """
    import manifold3d

    flat = contours if isinstance(contours, manifold3d.CrossSection) else manifold3d.CrossSection(list(contours))
    return flat.extrude(depth, 3 if twist else 0, twist).translate((0.0, 0.0, -depth / 2))


def unite(solids: Iterable[Solid]) -> Solid:
    """The union of them all."""
    import manifold3d

    return manifold3d.Manifold.batch_boolean(list(solids), manifold3d.OpType.Add)


def both(solid: Solid, normal: Sequence[float] = (1.0, 0.0, 0.0)) -> Solid:
    """A solid and its mirror image through the plane of that normal at the origin, by default left for right."""
    return solid + solid.mirror(tuple(map(float, normal)))


def around(solid: Solid, count: int) -> list[Solid]:
    """`count` copies turned evenly about the y axis, the first in place."""
    return [solid.rotate((0.0, 360.0 * k / count, 0.0)) for k in range(count)]
