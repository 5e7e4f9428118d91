"""Vases, jars and bowls, in centimetres: two handles point towards +x and -x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.paths import bezier, smooth
from scigen.domains.shapes.procedural.solids import Solid, both, loft, revolve, sweep

__all__ = ["VASE", "Vase"]


@dataclass(frozen=True)
class Vase:
    """A turned body with a belly, a neck and a rim, smooth or fluted and twisted, with or without handles and a lid."""

    height: float = span(14, 34, "cm")
    foot_radius: float = span(0.35, 0.65)
    belly_radius: float = span(5, 10, "cm")
    belly_height: float = span(0.3, 0.62)
    neck_radius: float = span(0.32, 0.7)
    neck_height: float = span(0.74, 0.86)
    rim_radius: float = span(1.05, 1.6)
    wall: float = span(0.65, 0.95, "cm")
    floor: float = span(0.6, 1.6, "cm")
    plinth: float = span(0.5, 1.6, "cm")
    flute_depth: float = span(0.02, 0.05)
    twist: float = span(-90, 90, "deg")
    handle_reach: float = span(2.2, 4.0, "cm")
    handle_thickness: float = span(0.75, 1.1, "cm")
    kind: str = one_of(vase=4, bowl=2)
    surface: str = one_of(smooth=3, fluted=2)
    handles: str = one_of(none=3, two=2)
    lid: str = one_of(none=3, knobbed=1)
    flutes: int = count(6, 14)


def _profile(p: Vase) -> np.ndarray:
    belly, h = p.belly_radius, p.height
    if p.kind == "bowl":
        h, belly = 0.45 * h, 1.25 * belly
        knots = [
            (0.7 * p.foot_radius, 0),
            (0.85, p.belly_height),
            (0.97, p.neck_height),
            (0.93 + 0.07 * p.rim_radius, 1),
        ]
    else:
        knots = [
            (p.foot_radius, 0),
            (1, p.belly_height),
            (p.neck_radius, p.neck_height),
            (p.neck_radius * p.rim_radius, 1),
        ]
    return smooth([(belly * r, h * y) for r, y in knots], 14)


def _turned(p: Vase, profile: np.ndarray) -> Solid:
    if p.surface == "smooth":
        return revolve(profile)
    size = 4 * p.flutes
    angle = np.linspace(0, 2 * np.pi, size, endpoint=False)
    share = profile[:, 1:] / profile[-1, 1]
    fade = np.sin(np.pi * share.clip(0, 0.93)) ** 0.5  # foot and rim stay round
    wave = 1 - p.flute_depth * (1 - np.cos(p.flutes * angle)) * fade
    turn = angle + np.radians(p.twist) * share
    radius = profile[:, :1] * wave
    return loft(
        np.stack([radius * np.cos(turn), np.broadcast_to(profile[:, 1:], radius.shape), radius * np.sin(turn)], -1)
    )


def _handles(p: Vase, profile: np.ndarray) -> Solid:
    top = profile[-1, 1]
    low = (0.2 if p.kind == "bowl" else 0.75 * p.belly_height) * top
    high = 0.95 * p.neck_height * top
    start, end = (float(np.interp(y, profile[:, 1], profile[:, 0])) for y in (low, high))
    share = 0.75 if p.kind == "bowl" else 1.0
    out, thick = max(start, end) + share * p.handle_reach, share * p.handle_thickness / 2
    # Inside the wall at both ends, and out again through neither.
    inset = 0.5 * p.wall + (2 * p.flute_depth * start if p.surface == "fluted" else 0)
    path = bezier(
        [
            (end - inset, high, 0),
            (out + 0.8, high + 0.08 * top, 0),
            (out + 0.8, low + 0.15 * top, 0),
            (start - inset, low, 0),
        ],
        14,
    )
    return both(sweep(path, circle(thick, 10)))


def _lid(p: Vase, rim: float, top: float) -> Solid:
    r, t = rim + 0.3, p.wall
    dome = [(r, top - 0.05), (r, top + t), (0.7 * r, top + t + 0.22 * r), (0.2 * r + 0.3, top + t + 0.3 * r)]
    knob = [(0.1 * r + 0.25, top + t + 0.42 * r), (0.2 * r + 0.4, top + t + 0.55 * r), (0.08 * r, top + t + 0.68 * r)]
    return revolve(dome + knob, 24)


def _solids(p: Vase) -> Mapping[str, Solid]:
    profile = _profile(p)
    top = profile[-1, 1]
    level = np.union1d([p.floor], profile[profile[:, 1] > p.floor + 0.2, 1])
    wall = p.wall + (2 * p.flute_depth * profile[:, 0].max() if p.surface == "fluted" else 0)
    radius = np.interp(level, profile[:, 1], profile[:, 0]) - wall
    radius[-1] = profile[-1, 0] - p.wall
    cavity = revolve(np.column_stack([radius, level + (level == level[-1]) * 0.01]))
    foot = profile[0, 0]
    parts = {"foot": revolve([(1.08 * foot, -p.plinth), (1.08 * foot, -0.5 * p.plinth), (0.92 * foot, 0.2 * p.floor)])}
    parts["body"] = _turned(p, profile) - cavity
    if p.handles == "two":
        parts["handle"] = _handles(p, profile) - cavity
    if p.lid == "knobbed":
        parts["lid"] = _lid(p, profile[-1, 0], top)
    return parts


VASE = Family("vase", Vase, ("body", "foot", "handle", "lid"), _solids)
