"""Chairs, in metres: the sitter looks towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle, rounded
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.paths import bent
from scigen.domains.shapes.procedural.solids import Solid, around, both, box, extrude, prism, rod, slab, sweep, unite

__all__ = ["CHAIR", "Chair"]


@dataclass(frozen=True)
class Chair:
    """Four legs, a sled or a swivelling star; a back of one panel, of slats or of rungs; arms or none."""

    width: float = span(0.40, 0.58, "m")
    depth: float = span(0.38, 0.52, "m")
    seat_height: float = span(0.40, 0.50, "m")
    seat_thickness: float = span(0.035, 0.08, "m")
    seat_corner: float = span(0.01, 0.14, "m")
    back_height: float = span(0.32, 0.62, "m")
    back_tilt: float = span(2, 18, "deg")
    back_thickness: float = span(0.022, 0.05, "m")
    back_width: float = span(0.8, 1.0)
    leg_thickness: float = span(0.028, 0.05, "m")
    leg_taper: float = span(0.55, 1.0)
    leg_splay: float = span(0, 10, "deg")
    arm_height: float = span(0.16, 0.24, "m")
    arm_width: float = span(0.03, 0.06, "m")
    base: str = one_of(round_legs=3, square_legs=3, sled=2, swivel=2)
    back: str = one_of(panel=3, slats=2, ladder=2)
    arms: str = one_of(none=3, posts=2)
    stretchers: str = one_of(none=2, sides=1)
    slats: int = count(3, 6)


def _back(p: Chair) -> Solid:
    """Upright at the origin, standing `seat_thickness` below it; turned and moved to the seat's rear edge."""
    width, t = p.back_width * p.width, p.back_thickness
    low, high = -0.7 * p.seat_thickness, p.back_height
    if p.back == "panel":
        solid = extrude([rounded(width, high - low, 0.08, 4) + [0, (high + low) / 2]], t)
        solid = unite([solid, box((0.6 * width, 0.3 * high, t), (0, low + 0.15 * high, 0))])
    else:
        post = width / 2 - t / 2
        frame = [both(box((t, high - low, t), (post, (high + low) / 2, 0)))]
        # A rounded seat leaves its corners, so a rail along its edge carries the posts.
        frame.append(box((width - t, -low, t), (0, low / 2, 0)))
        frame.append(slab((width, 0.16 * high, 1.2 * t), (0, 0.92 * high, 0), 0.4 * t, 0.4 * t))
        if p.back == "slats":
            for x in np.linspace(-post, post, p.slats + 2)[1:-1]:
                frame.append(
                    box((0.3 * width / p.slats + 0.01, 0.9 * high - low, 0.7 * t), (x, (0.9 * high + low) / 2, 0))
                )
        else:
            for y in np.linspace(0.1 * high, 0.92 * high, p.slats)[:-1]:
                frame.append(box((width - t, 0.35 * high / p.slats, 0.7 * t), (0, y + 0.1 * high / p.slats, 0)))
        solid = unite(frame)
    return solid.rotate((-p.back_tilt, 0, 0)).translate((0, p.seat_height, -p.depth / 2 + t / 2))


def _legs(p: Chair) -> Solid:
    top, r = p.seat_height - 0.6 * p.seat_thickness, p.leg_thickness / 2
    x, z = (size / 2 - 1.6 * r - 0.3 * p.seat_corner for size in (p.width, p.depth))
    out = np.tan(np.radians(p.leg_splay)) * top
    section = circle(r, 16) if p.base == "round_legs" else rounded(2 * r, 2 * r, 0.2 * r, 1)
    solids = []
    for front in (-1, 1):
        solids.append(both(prism((x, top, front * z), (x + 0.7 * out, 0, front * (z + out)), section, p.leg_taper)))
    if p.stretchers == "sides":
        height = 0.3 * top
        x, z = x + 0.7 * out * 0.7, z + 0.7 * out
        solids.append(
            both(rod((x, height, -z), (x, height, z), 0.5 * p.leg_thickness * (0.4 + 0.4 * p.leg_taper), count=12))
        )
        solids.append(rod((-x, height, 0), (x, height, 0), 0.5 * p.leg_thickness * (0.4 + 0.4 * p.leg_taper), count=12))
    return unite(solids)


def _sled(p: Chair) -> Solid:
    r, top = 0.4 * p.leg_thickness + 0.1 * p.leg_thickness * p.leg_taper, p.seat_height - 0.6 * p.seat_thickness
    x, z = (size / 2 - 2 * r - 0.3 * p.seat_corner for size in (p.width, p.depth))
    out = np.tan(np.radians(p.leg_splay)) * top
    path = bent([(x, top, z), (x, r, z + out), (x, r, -z - out), (x, top, -z)], 0.08)
    return both(sweep(path, circle(r, 12)))


def _swivel(p: Chair) -> Solid:
    r, reach, top = 0.55 * p.leg_thickness, 0.52 * p.width, p.seat_height - 0.6 * p.seat_thickness
    column = rod((0, 0.06, 0), (0, top, 0), 1.3 * r, 0.8 * r)
    spoke = prism((0, 0.1, 0), (0, 0.065, reach), rounded(2 * r, 1.6 * r, 0.3 * r, 1), p.leg_taper)
    caster = rod((-0.6 * r - 0.008, 0.032, reach), (0.6 * r + 0.008, 0.032, reach), 0.032)
    plate = box((0.5 * p.width, 0.02, 0.5 * p.depth), (0, p.seat_height - p.seat_thickness, 0))
    return unite([column, plate, *around(spoke + caster, 5)])


def _arms(p: Chair) -> Solid:
    w, y = p.arm_width, p.seat_height + p.arm_height
    x = p.back_width * p.width / 2 - 0.5 * p.back_thickness
    rear = -p.depth / 2 + p.back_thickness / 2 - np.tan(np.radians(p.back_tilt)) * p.arm_height
    front = 0.3 * p.depth
    rest = slab((w, 0.028, front - rear + 0.03), (x, y, (front + rear + 0.03) / 2), 0.4 * w, 0.008)
    post = box(
        (0.026, p.arm_height + 0.5 * p.seat_thickness, 0.034),
        (x - 0.012, y - p.arm_height / 2 - 0.25 * p.seat_thickness, front - 0.05),
    )
    return both(rest + post)


def _solids(p: Chair) -> Mapping[str, Solid]:
    seat_centre = (0, p.seat_height - p.seat_thickness / 2, 0)
    base = {"sled": _sled, "swivel": _swivel}.get(p.base, _legs)
    parts = {
        "seat": slab((p.width, p.seat_thickness, p.depth), seat_centre, p.seat_corner, 0.3 * p.seat_thickness),
        "back": _back(p),
        "leg": base(p),
    }
    return parts if p.arms == "none" else {**parts, "arm": _arms(p)}


CHAIR = Family("chair", Chair, ("seat", "back", "leg", "arm"), _solids)
