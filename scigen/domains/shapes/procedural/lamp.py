"""Floor, table and desk lamps, in metres: an arm reaches towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.paths import bezier, smooth
from scigen.domains.shapes.procedural.solids import Solid, around, revolve, rod, sweep, unite

__all__ = ["LAMP", "Lamp"]


@dataclass(frozen=True)
class Lamp:
    """A straight, turned, arched or jointed stem under a conical or domed shade; lengths are shares of the height."""

    height: float = span(0.4, 1.5, "m")
    base_radius: float = span(0.13, 0.22)
    base_height: float = span(0.02, 0.06)
    stem_radius: float = span(0.011, 0.02)
    belly: float = span(0.05, 0.13)
    shade_radius: float = span(0.13, 0.26)
    shade_taper: float = span(0.35, 1.0)
    shade_height: float = span(0.16, 0.32)
    shade_wall: float = span(0.016, 0.026)
    reach: float = span(0.2, 0.45)
    elbow: float = span(0.35, 0.55)
    tilt: float = span(10, 50, "deg")
    stem: str = one_of(straight=2, turned=2, arched=1.5, jointed=2)
    base: str = one_of(disc=2, dome=1, tripod=1)
    shade: str = one_of(cone=3, dome=2)


def _shade(p: Lamp) -> tuple[Solid, Solid]:
    """The shade and the bulb, hanging from the origin; three spokes hold the wall."""
    low, wall, tall = p.shade_radius, p.shade_wall, p.shade_height
    high = low * p.shade_taper
    if p.shade == "cone":
        outer, inner = [(low, -tall), (high, 0.0)], [(high - wall, 0.01), (low - wall, -tall - 0.01)]
        shell = revolve(outer) - revolve(inner[::-1])
        reach = high - 0.5 * wall + (low - high) * 1.2 * p.stem_radius / tall
    else:
        turn = np.radians(np.linspace(0, 84, 8))
        curve = np.stack([low * np.cos(turn) ** 0.8, tall * (np.sin(turn) - 1)], 1)
        core = np.stack([(low - wall) * np.cos(turn) ** 0.8, (tall - wall) * np.sin(turn) - tall - 0.002], 1)
        shell = revolve(curve) - revolve(core)
        reach = 0.2 * low
    y = -1.2 * p.stem_radius
    spokes = around(rod((0, y, 0), (0, y, reach), 0.8 * p.stem_radius, count=8), 3)
    socket = rod((0, 0.01, 0), (0, -0.35 * tall, 0), 1.3 * p.stem_radius, count=12)
    bulb = revolve(
        smooth([(0.2, -1), (0.9, -0.72), (1.0, -0.5), (0.5, 0.1), (0.4, 0.3)], 8) * [0.24 * high + 0.02, 0.45 * tall]
        + [0, -0.3 * tall],
        14,
    )
    return unite([shell, socket, *spokes]), bulb


def _base(p: Lamp) -> Solid:
    r, h = p.base_radius, p.base_height
    if p.base == "tripod":
        hub = rod((0, 0.16, 0), (0, 0.24, 0), 2 * p.stem_radius)
        leg = rod((0, 0.21, 0), (0, 0, 1.2 * r), 1.1 * p.stem_radius, 0.8 * p.stem_radius, 12)
        return unite([hub, *around(leg, 3)])
    if p.base == "disc":
        return revolve([(r, 0), (r, 0.7 * h), (0.94 * r, h)])
    turn = np.radians(np.linspace(0, 80, 6))
    return revolve([(r, 0), *np.stack([r * np.cos(turn), 0.3 * h + 1.5 * h * np.sin(turn)], 1)])


def _stem(p: Lamp) -> tuple[Solid, np.ndarray, float]:
    """The stem, where the shade hangs and how far it tips forward in degrees."""
    r, foot = p.stem_radius, 0.2 if p.base == "tripod" else 0.4 * p.base_height
    if p.stem == "arched":
        path = bezier(
            [(0, foot, 0), (0, 0.9, 0), (0, 1.25, 1.6 * p.reach), (0, 0.95, 1.4 * p.reach), (0, 0.85, 1.4 * p.reach)],
            18,
        )
        return sweep(path, circle(r, 12)), path[-1], 0.0
    if p.stem == "jointed":
        knee, tip = np.array([0, p.elbow + 0.15, -0.5 * p.reach]), np.array([0, 0.9, 0.8 * p.reach])
        arms = [rod((0, foot, 0), knee, r, count=12), rod(knee, tip, r, count=12)]
        joints = [rod(q - [1.8 * r, 0, 0], q + [1.8 * r, 0, 0], 1.9 * r, count=12) for q in (knee, tip)]
        return unite(arms + joints), tip, p.tilt
    top = np.array([0, 1 - 0.05 * p.elbow, 0])
    stem = rod((0, foot, 0), top, r, count=12)
    if p.stem == "turned":
        b, start = p.belly, foot
        end = 1 - p.shade_height - 0.05
        knots = [(1.6 * r, 0), (0.6 * b, 0.1), (b, p.elbow), (0.45 * b + r, 0.85), (1.4 * r, 1)]
        stem = stem + revolve(smooth([(q, start + (end - start) * y) for q, y in knots], 12), 24)
    return stem, top, 0.0


def _solids(p: Lamp) -> Mapping[str, Solid]:
    stem, end, tilt = _stem(p)
    shade, bulb = (s.rotate((-tilt, 0, 0)).translate(tuple(end)) for s in _shade(p))
    parts = {"base": _base(p), "stem": stem, "shade": shade, "bulb": bulb}
    return {name: solid.scale((p.height,) * 3) for name, solid in parts.items()}


LAMP = Family("lamp", Lamp, ("base", "stem", "shade", "bulb"), _solids)
