"""Wrenches, in centimetres: the shaft stands along y, flat towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle, ngon, rounded, superellipse
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.solids import Solid, extrude, rod, unite

__all__ = ["WRENCH", "Wrench"]


@dataclass(frozen=True)
class Wrench:
    """Open jaws or rings at both ends, one of each, or a jaw set by a screw."""

    length: float = span(10, 18, "cm")
    opening: float = span(1.3, 2.4, "cm")
    second_opening: float = span(0.75, 1.15)
    jaw_angle: float = span(8, 22, "deg")
    jaw_width: float = span(2.0, 2.5)
    jaw_depth: float = span(0.5, 0.85)
    jaw_thickness: float = span(0.55, 0.9, "cm")
    ring_width: float = span(1.5, 1.9)
    ring_thickness: float = span(0.8, 1.3, "cm")
    shaft_width: float = span(0.9, 1.4)
    shaft_taper: float = span(0.75, 1.1)
    shaft_thickness: float = span(0.42, 0.6, "cm")
    groove: float = span(0.05, 0.2)
    ends: str = one_of(combination=3, jaws=2, rings=2, adjustable=2)
    points: str = one_of(six=1, twelve=1)
    recess: str = one_of(none=1, panel=2)


def _flat(*contours: np.ndarray) -> Any:
    import manifold3d

    return manifold3d.CrossSection([*contours])


def _jaw(p: Wrench, opening: float, tip: float) -> Solid:
    """At the origin, open upwards, turned by the jaw angle."""
    width = p.jaw_width * opening
    outline = superellipse(width, 1.08 * width, 2.4, 28)
    mouth = rounded(opening, 2 * width, 0.25 * opening) + [0, width - p.jaw_depth * opening]
    mouth = _flat(mouth) + _flat(ngon(1.02 * opening, 6) + [0, 0.5 * opening - p.jaw_depth * opening + 0.05 * opening])
    cut = np.array([(-width, tip * width), (width, tip * width), (width, 2 * width), (-width, 2 * width)])
    return extrude(_flat(outline) - mouth - _flat(cut), p.jaw_thickness)


def _ring(p: Wrench, opening: float) -> Solid:
    outer = circle(p.ring_width * opening / 2 + 0.25, 32)
    hexagon = ngon(opening, 6)
    hole = _flat(hexagon)
    if p.points == "twelve":
        hole = hole + _flat(
            hexagon @ np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)], [-np.sin(np.pi / 6), np.cos(np.pi / 6)]])
        )
    return extrude(_flat(outer) - hole, p.ring_thickness)


def _shaft(p: Wrench, low: float, high: float) -> Solid:
    """From y = `low` to `high`, wide below and tapered above."""
    w = 0.5 * p.shaft_width * p.opening
    top = p.shaft_taper * w
    outline = np.array(
        [(-w, low), (-0.85 * w, low + 0.25 * (high - low)), (-0.85 * top, high - 0.25 * (high - low)), (-top, high)]
    )
    outline = np.concatenate([outline[::-1], outline * [-1, 1]])
    bar = extrude([outline], p.shaft_thickness)
    if p.recess == "none":
        return bar
    panel = rounded(0.9 * min(w, top), 0.5 * (high - low), 0.3 * w) + [0, (low + high) / 2]
    depth = p.groove * p.shaft_thickness
    cut = extrude([panel], p.shaft_thickness).translate((0, 0, p.shaft_thickness - depth))
    return bar - cut - cut.mirror((0, 0, 1))


def _adjustable(p: Wrench) -> Mapping[str, Solid]:
    w, t, y = p.opening, p.jaw_thickness, p.length
    fixed = [
        (-1.3 * w, y - 0.6 * w),
        (0.5 * w, y - 0.7 * w),
        (1.05 * w, y - 0.1 * w),
        (0.95 * w, y + 0.35 * w),
        (-0.1 * w, y + 0.35 * w),
    ]
    fixed += [
        (0.0, y + 0.6 * w),
        (0.05 * w, y + 1.35 * w),
        (-0.35 * w, y + 1.5 * w),
        (-1.05 * w, y + 0.9 * w),
        (-1.35 * w, y + 0.2 * w),
    ]
    x = (0.25 + 0.6 * (p.second_opening - 0.75) / 0.4) * w
    reach = (0.8 + 0.5 * p.jaw_depth) * w
    sliding = [
        (x, y + 0.2 * w),
        (x + 0.55 * w, y + 0.2 * w),
        (x + 0.5 * w, y + 0.3 * w + 0.5 * reach),
        (x + 0.12 * w, y + 0.35 * w + reach),
        (x, y + 0.35 * w + reach),
    ]
    screw = rod((-0.2 * w, y - 0.2 * w, 0), (0.45 * w, y - 0.2 * w, 0), 0.65 * t + 0.12 * w, count=14)
    hang = extrude([circle(0.22 * w, 14) + [0, 0.6 * w]], 2)
    shaft = _shaft(p, 0.0, y - 0.2 * w) + extrude(
        [circle(0.55 * p.shaft_width * w, 20) + [0, 0.5 * w]], p.shaft_thickness
    )
    lean = 0.8 * p.jaw_angle
    head = {"jaw": unite([extrude([np.array(fixed)], 1.3 * t), extrude([np.array(sliding)], t)]), "screw": screw}
    turned = {name: s.translate((0, -y, 0)).rotate((0, 0, lean)).translate((0, y, 0)) for name, s in head.items()}
    return {"shaft": shaft - hang, **turned}


def _solids(p: Wrench) -> Mapping[str, Solid]:
    if p.ends == "adjustable":
        return _adjustable(p)
    small = p.second_opening * p.opening
    foot, head = 0.5 * p.opening + 0.1, p.length - 0.5 * small - 0.1
    shaft = _shaft(p, foot, head)
    parts: dict[str, Solid] = {}
    jaws, rings = [], []
    if p.ends == "rings":
        rings.append(_ring(p, p.opening))
    else:
        jaws.append(_jaw(p, p.opening, 0.42).rotate((0, 0, 180 + p.jaw_angle)))
    if p.ends == "jaws":
        jaws.append(_jaw(p, small, 0.42).rotate((0, 0, p.jaw_angle)).translate((0, p.length, 0)))
    else:
        rings.append(_ring(p, small).translate((0, p.length, 0)))
    # The shaft must not fill what it leads to.
    for y, opening in ((0.0, p.opening), (p.length, small)):
        shaft = shaft - extrude([circle(0.56 * opening, 20) + [0, y]], 4)
    parts["shaft"] = shaft
    if jaws:
        parts["jaw"] = unite(jaws)
    if rings:
        parts["ring"] = unite(rings)
    return parts


WRENCH = Family("wrench", Wrench, ("shaft", "jaw", "ring", "screw"), _solids)
