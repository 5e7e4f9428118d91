"""Gears, in millimetres: the axis is y; a tooth points towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.solids import Solid, around, box, extrude, revolve, rod, unite

__all__ = ["GEAR", "Gear"]


@dataclass(frozen=True)
class Gear:
    """A toothed rim, straight or helical, on a disc, a drilled web or spokes, with a hub, a bore and a keyway."""

    radius: float = span(20, 40, "mm")
    face_width: float = span(6, 18, "mm")
    tooth_height: float = span(0.12, 0.2)
    tooth_thickness: float = span(0.44, 0.56)
    tooth_taper: float = span(0.4, 0.62)
    root_width: float = span(1.1, 1.35)
    helix: float = span(8, 24, "deg")
    rim: float = span(0.09, 0.16)
    web: float = span(0.3, 0.6)
    hub_radius: float = span(0.3, 0.42)
    hub_height: float = span(0.15, 0.8)
    bore: float = span(0.42, 0.66)
    opening: float = span(0.5, 0.85)
    teeth_kind: str = one_of(straight=3, helical=2)
    body: str = one_of(disc=2, drilled=2, spoked=2)
    key: str = one_of(none=1, slot=2)
    teeth: int = count(12, 26)
    openings: int = count(4, 6)


def _toothed(p: Gear) -> Solid:
    """The rim's outside: trapezoids with shoulders, close to involutes; heights are shares of the radius."""
    tall = p.tooth_height * p.radius * np.sqrt(16 / p.teeth)
    pitch = 2 * np.pi / p.teeth
    thick = p.tooth_thickness * pitch
    half = 0.5 * np.array([p.root_width * thick, thick, 0.75 * thick, p.tooth_taper * thick])
    height = np.array([0.0, 0.4, 0.75, 1.0])
    angle = np.concatenate([-half, half[::-1]])
    radius = p.radius + tall * np.concatenate([height, height[::-1]])
    turn = (np.arange(p.teeth)[:, None] * pitch + angle).ravel() - np.pi / 2
    outline = np.tile(radius, p.teeth)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    if p.teeth_kind == "straight":
        return extrude([outline], p.face_width).rotate((-90, 0, 0))
    twist = float(np.degrees(np.tan(np.radians(p.helix)) * p.face_width / p.radius))
    return extrude([outline], p.face_width, twist).rotate((-90, 0, 0))


def _body(p: Gear, inner: float, hub: float) -> Solid:
    """Between hub and rim."""
    thick = max(p.web * p.face_width, 0.05 * p.radius)
    if p.body == "spoked":
        reach = inner + 0.5 * p.rim * p.radius
        spoke = box((0.34 * (1.2 - p.opening) * p.radius + 2, thick, reach), (0, 0, reach / 2))
        return unite(around(spoke, p.openings))
    disc = rod((0, -thick / 2, 0), (0, thick / 2, 0), inner + 0.5 * p.rim * p.radius, count=36)
    if p.body == "disc":
        return disc
    middle, gap = 0.5 * (inner + hub), inner - hub
    hole = rod(
        (0, -thick, middle),
        (0, thick, middle),
        min(0.42 * gap, 0.42 * p.opening * 2 * np.pi * middle / p.openings / 2 + 0.5),
        count=16,
    )
    return disc - unite(around(hole, p.openings))


def _solids(p: Gear) -> Mapping[str, Solid]:
    inner, hub = (1 - p.rim) * p.radius, p.hub_radius * p.radius
    bore = p.bore * hub
    w, top = p.face_width / 2, p.face_width / 2 + p.hub_height * p.face_width
    ring = rod((0, -2 * w, 0), (0, 2 * w, 0), inner, count=36)
    axle = rod((0, -4 * w, 0), (0, 4 * w, 0), bore, count=24)
    if p.key == "slot":
        axle = axle + box((0.5 * bore, 8 * w, bore), (0, 0, 0.8 * bore))
    sleeve = revolve([(hub, -w), (hub, top - 0.1 * hub), (0.9 * hub, top)])
    return {"teeth": _toothed(p) - ring, "web": _body(p, inner, hub) - axle, "hub": sleeve - axle}


GEAR = Family("gear", Gear, ("teeth", "web", "hub"), _solids)
