"""Screwdrivers, in centimetres: they stand on their tip along y, a flat blade across x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle, ngon, superellipse
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.paths import smooth
from scigen.domains.shapes.procedural.solids import Solid, loft, prism, revolve, unite

__all__ = ["SCREWDRIVER", "Screwdriver"]


@dataclass(frozen=True)
class Screwdriver:
    """A fluted, faceted or round handle on a shaft with a flat, a cross, a hexagonal or a socket tip."""

    handle_length: float = span(7, 12, "cm")
    handle_radius: float = span(1.3, 2.0, "cm")
    handle_butt: float = span(0.6, 1.0)
    handle_waist: float = span(0.6, 0.85)
    waist_height: float = span(0.12, 0.3)
    flute_depth: float = span(0.06, 0.16)
    shaft_length: float = span(5, 12, "cm")
    shaft_radius: float = span(0.3, 0.5, "cm")
    tip_length: float = span(0.8, 2.0, "cm")
    tip_width: float = span(1.1, 1.9)
    collar_radius: float = span(1.4, 2.2)
    collar_length: float = span(0.5, 1.4, "cm")
    tip: str = one_of(flat=3, cross=3, hexagon=1, socket=1)
    grip: str = one_of(fluted=3, faceted=1, round=1)
    shaft: str = one_of(round=2, square=1)
    flutes: int = count(5, 8)


def _handle(p: Screwdriver) -> Solid:
    w, r = p.waist_height, p.handle_radius
    knots = [
        (0.75, 0.0),
        (p.handle_waist, 0.6 * w),
        (p.handle_waist, w),
        (1.0, w + 0.25),
        (0.98, 0.85),
        (p.handle_butt, 0.97),
        (0.55 * p.handle_butt, 1.0),
    ]
    profile = smooth(knots, 16) * [r, p.handle_length]
    if p.grip == "round":
        return revolve(profile, 24)
    size = 4 * p.flutes if p.grip == "fluted" else p.flutes
    angle = np.linspace(0, 2 * np.pi, size, endpoint=False)
    share = profile[:, 1:] / p.handle_length
    fade = np.clip(np.minimum((share - w) / 0.15, (1 - share) / 0.15), 0, 1)
    wave = 1 - (
        p.flute_depth * (1 - np.cos(p.flutes * angle)) * fade if p.grip == "fluted" else p.flute_depth * (share < w)
    )
    radius = profile[:, :1] * wave * np.ones(size)
    rings = [radius * np.cos(angle), np.broadcast_to(profile[:, 1:], radius.shape), radius * np.sin(angle)]
    return loft(np.stack(rings, -1))


def _tip(p: Screwdriver) -> Solid:
    """From the point at y = 0 up into the shaft."""
    r, long, wide = p.shaft_radius, p.tip_length, p.tip_width * p.shaft_radius
    if p.tip == "flat":
        stations = [
            (wide, 0.35 * r + 0.12, 0.0),
            (1.1 * wide, 0.5 * r + 0.1, 0.35),
            (r, r, 1.0),
            (0.9 * r, 0.9 * r, 1.3),
        ]
        rings = [
            np.insert(superellipse(2 * x, max(2 * z, 0.3), 6 - 3 * min(y, 1), 16), 1, y * long, axis=1)
            for x, z, y in stations
        ]
        return loft(np.stack(rings))
    if p.tip == "cross":
        cone = revolve([(0.12, 0), (0.5 * wide, 0.5 * long), (0.95 * r, long), (0.95 * r, 1.3 * long)], 16)
        fin = prism((0, 0.05, 0), (0, 1.2 * long, 0), superellipse(0.6 * r + 0.1, 0.35 * r + 0.12, 6, 12), 1.1)
        blade = [
            np.insert(superellipse(2 * x, 0.34, 6, 12), 1, y, axis=1)
            for x, y in [(0.2, 0.0), (0.62 * wide, 0.5 * long), (r, long)]
        ]
        wing = loft(np.stack(blade))
        return unite([cone.scale((0.72, 1, 0.72)), fin, wing, wing.rotate((0, 90, 0))])
    if p.tip == "hexagon":
        return prism((0, 0, 0), (0, 1.3 * long, 0), ngon(1.3 * wide, 6), 0.98)
    across = 2.2 * wide + 0.3
    shell = revolve(
        [(0.5 * across + 0.15, 0), (0.5 * across + 0.15, 0.8 * long), (r, 1.05 * long), (0.9 * r, 1.3 * long)], 20
    )
    return shell - prism((0, -0.1, 0), (0, 0.6 * long, 0), ngon(0.75 * across, 6))


def _solids(p: Screwdriver) -> Mapping[str, Solid]:
    start = 0.9 * p.tip_length
    end = start + p.shaft_length
    r = p.shaft_radius
    section = circle(r, 16) if p.shaft == "round" else ngon(1.9 * r, 4)
    parts = {"tip": _tip(p), "shaft": prism((0, start, 0), (0, end + 1, 0), section)}
    low, wide = end - p.collar_length, p.collar_radius * r
    parts["collar"] = revolve([(1.1 * r, low), (wide, low + 0.3), (wide, end + 0.3)], 20)
    parts["handle"] = _handle(p).translate((0, end, 0))
    return parts


SCREWDRIVER = Family("screwdriver", Screwdriver, ("tip", "shaft", "collar", "handle"), _solids)
