"""Mugs and cups, in centimetres: the handle points towards +x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import superellipse
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.paths import arc, bent, bezier, smooth
from scigen.domains.shapes.procedural.solids import Solid, revolve, sweep

__all__ = ["MUG", "Mug"]


@dataclass(frozen=True)
class Mug:
    """A body of revolution, straight, flared or bellied, with a handle like an ear, a ring or a D."""

    radius: float = span(3.4, 4.8, "cm")
    height: float = span(6.5, 12.0, "cm")
    wall: float = span(0.3, 0.55, "cm")
    floor: float = span(0.4, 1.0, "cm")
    taper: float = span(0.62, 1.0)
    belly: float = span(-0.06, 0.14)
    foot_height: float = span(0.25, 0.7, "cm")
    handle_reach: float = span(2.0, 3.6, "cm")
    handle_top: float = span(0.76, 0.9)
    handle_bottom: float = span(0.15, 0.32)
    handle_width: float = span(0.8, 1.6, "cm")
    handle_thickness: float = span(0.45, 0.9, "cm")
    handle: str = one_of(ear=3, ring=1, square=2)
    foot: str = one_of(flat=2, ring=1, saucer=1)


def _profile(p: Mug) -> np.ndarray:
    waist = (1 + p.taper) / 2 + p.belly
    knots = [(p.taper, 0.0), (0.3 * waist + 0.7 * p.taper + 0.3 * p.belly, 0.15), (waist, 0.5), (1.0, 1.0)]
    return smooth(knots, 9) * [p.radius, p.height]


def _handle(p: Mug, profile: np.ndarray) -> Solid:
    low, high = p.handle_bottom * p.height, p.handle_top * p.height
    inner, outer = (float(np.interp(y, profile[:, 1], profile[:, 0])) - 0.5 * p.wall for y in (low, high))
    out = max(inner, outer) + p.handle_reach
    if p.handle == "square":
        path = bent([(inner, low, 0), (out, low, 0), (out, high, 0), (outer, high, 0)], 1.1)
    elif p.handle == "ring":
        r = 0.45 * (high - low) + 0.2 * p.handle_reach
        turn = arc(r, -125, 125, 18) * [0.5 + 0.17 * p.handle_reach, 1] + [
            max(inner, outer) + 0.45 * r,
            (low + high) / 2,
        ]
        path = np.column_stack([turn, np.zeros(len(turn))])
    else:
        lift = 0.12 * (high - low)
        path = bezier(
            [(outer, high, 0), (out + 1.2, high + lift, 0), (out + 0.8, low + 2 * lift, 0), (inner, low, 0)], 14
        )
    return sweep(path, superellipse(p.handle_width, p.handle_thickness, 2.6, 12))


def _solids(p: Mug) -> Mapping[str, Solid]:
    outside = _profile(p)
    inside = outside - [p.wall, 0]
    level = np.linspace(p.floor, p.height, 7)
    hollow = np.column_stack([np.interp(level, inside[:, 1], inside[:, 0]), level])
    hollow[0, 0] *= 0.93
    hollow[-1, 1] += 0.01
    lip = hollow[-1, 0] + 0.35 * p.wall
    cavity = revolve([*hollow[:-1], (hollow[-1, 0], p.height - 0.2 * p.wall), (lip, p.height + 0.01)])
    parts = {"body": revolve(outside) - cavity}
    handle = _handle(p, outside)
    parts["handle"] = handle - revolve([(r, y) for r, y in hollow])
    if p.foot == "ring":
        r = p.taper * p.radius
        parts["foot"] = revolve([(0.84 * r, -p.foot_height), (0.88 * r, 0.3 * p.foot_height)])
    if p.foot == "saucer":
        r, t = 1.75 * p.radius, 0.35 + 0.3 * p.foot_height
        plate = revolve(
            [
                (0.5 * r, -t),
                (0.62 * r, -t),
                (r, 0.6),
                (0.985 * r, 0.6 + 0.6 * t),
                (0.62 * r, 0.2 * t),
                (0.5 * r, 0.1 * t),
            ]
        )
        parts["foot"] = plate
    return parts


MUG = Family("mug", Mug, ("body", "handle", "foot"), _solids)
