"""Teapots and jugs, in centimetres: the spout points towards +x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import superellipse
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.paths import bezier
from scigen.domains.shapes.procedural.solids import Solid, revolve, sweep

__all__ = ["TEAPOT", "Teapot"]


@dataclass(frozen=True)
class Teapot:
    """A round body with a curved spout, a lid with a knob, and a handle at the back or over the top."""

    radius: float = span(6, 8.5, "cm")
    height: float = span(8, 14, "cm")
    foot_radius: float = span(0.45, 0.75)
    mouth_radius: float = span(0.4, 0.6)
    fullness: float = span(1.6, 3.2)
    spout_reach: float = span(4.0, 7.0, "cm")
    spout_low: float = span(0.18, 0.4)
    spout_top: float = span(0.85, 1.1)
    spout_radius: float = span(1.5, 2.3, "cm")
    spout_taper: float = span(0.4, 0.65)
    handle_reach: float = span(3.0, 5.5, "cm")
    handle_thickness: float = span(0.8, 1.3, "cm")
    lid_height: float = span(0.8, 2.4, "cm")
    knob: float = span(0.7, 1.2, "cm")
    handle: str = one_of(rear=3, over=1)
    spout: str = one_of(curved=3, straight=1)
    foot: str = one_of(flat=1, ring=1)


def _profile(p: Teapot) -> np.ndarray:
    """(radius, height) of the body: |2y/h - 1|^q + |r|^q = 1, cut where it is as wide as the foot and as the mouth."""
    ends = [
        -((1 - p.foot_radius**p.fullness) ** (1 / p.fullness)),
        (1 - p.mouth_radius**p.fullness) ** (1 / p.fullness),
    ]
    y = np.sin(np.linspace(np.arcsin(ends[0]), np.arcsin(ends[1]), 14))
    r = (1 - np.abs(y) ** p.fullness) ** (1 / p.fullness)
    return np.column_stack([p.radius * r, p.height * (y - ends[0]) / (ends[1] - ends[0])])


def _spout(p: Teapot) -> Solid:
    low, top, out = p.spout_low * p.height, p.spout_top * p.height, p.radius + p.spout_reach
    bow = 0.9 if p.spout == "curved" else 0.45
    start = (0.6 * p.radius, low, 0)
    path = bezier(
        [
            start,
            (p.radius + bow * p.spout_reach, low, 0),
            (p.radius + (0.95 - 0.65 * bow) * p.spout_reach, top - 0.5, 0),
            (out, top, 0),
        ],
        12,
    )
    size = np.linspace(1, p.spout_taper, 12) ** 1.3 * p.spout_radius
    tip = path[-1] - path[-2]
    mouth = np.stack([path[-1] - 1.2 * tip, path[-1] + tip])
    bore = sweep(mouth, superellipse(2, 2, 2.0, 12), max(0.45 * size[-1], size[-1] - 0.35))
    return sweep(path, superellipse(2, 2, 2.0, 14), size) - bore


def _handle(p: Teapot) -> Solid:
    section = superellipse(1.4 * p.handle_thickness, p.handle_thickness, 2.5, 12)
    if p.handle == "over":
        x, y = 0.8 * p.radius, 0.7 * p.height
        top = 1.5 * p.height + 1.6 * p.handle_reach
        return sweep(bezier([(-x, y, 0), (-1.15 * x, top, 0), (1.15 * x, top, 0), (x, y, 0)], 18), section)
    low, high, out = 0.28 * p.height, 0.8 * p.height, -p.radius - 1.35 * p.handle_reach
    return sweep(
        bezier([(-0.72 * p.radius, high, 0), (out, high + 2, 0), (out, low + 1, 0), (-0.85 * p.radius, low, 0)], 16),
        section,
    )


def _solids(p: Teapot) -> Mapping[str, Solid]:
    profile = _profile(p)
    mouth, top = profile[-1]
    foot = 0.8 * p.foot_radius * p.radius
    body = revolve([(0.95 * profile[0, 0], -0.25), *profile, (mouth, top + 0.25)])
    if p.foot == "ring":
        body = body + revolve([(1.2 * foot, -1.0), (1.1 * foot, 0.4)])
    y, r = top + 0.2, 0.92 * mouth
    turn = np.radians(np.linspace(0, 75, 5))
    dome = np.column_stack([r * np.cos(turn), y + 0.2 + p.lid_height * np.sin(turn)])
    knob = p.knob * np.array([(0.55, 0.2), (1.0, 0.9), (0.9, 1.4), (0.4, 1.75)]) + [0, dome[-1, 1]]
    lid = revolve([(r, y - 0.1), *dome, (0.55 * p.knob, dome[-1, 1] + 0.05), *knob], 24)
    return {"body": body, "spout": _spout(p), "handle": _handle(p), "lid": lid}


TEAPOT = Family("teapot", Teapot, ("body", "spout", "handle", "lid"), _solids)
