"""Bottles, in centimetres: they stand on the origin; a label faces +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import superellipse
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.solids import Solid, loft, revolve

__all__ = ["BOTTLE", "Bottle"]


@dataclass(frozen=True)
class Bottle:
    """A body, a shoulder and a neck over one outline from round to nearly square, open, corked, capped or pumped."""

    radius: float = span(2.6, 4.6, "cm")
    body_height: float = span(9.0, 19.0, "cm")
    shoulder_height: float = span(1.5, 7.0, "cm")
    shoulder_power: float = span(1.4, 3.0)
    neck_radius: float = span(1.1, 1.6, "cm")
    neck_height: float = span(2.0, 8.0, "cm")
    neck_taper: float = span(0.8, 1.0)
    lip: float = span(0.1, 0.35, "cm")
    lip_height: float = span(0.5, 1.3, "cm")
    wall: float = span(0.4, 0.6, "cm")
    heel: float = span(0.2, 1.2, "cm")
    squareness: float = span(2.6, 6.0)
    depth: float = span(0.6, 1.0)
    cap_height: float = span(1.2, 2.6, "cm")
    section: str = one_of(round=3, square=2)
    cap: str = one_of(open=2, cork=1, screw=2, pump=1)
    waist: str = one_of(straight=3, pinched=1)


def _rings(p: Bottle, profile: np.ndarray, wall: float = 0.0) -> Solid:
    """A solid `wall` within the profile, the outline running from the body's to a circle as it narrows to the neck."""
    along = np.gradient(profile, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    rings = []
    for (radius, height), (inwards, down) in zip(profile, wall * normal):
        fall = np.clip((p.radius - radius) / (p.radius - p.neck_radius), 0, 1)
        power, flat = (2.0, 1.0) if p.section == "round" else (p.squareness, p.depth)
        power, flat = power + (2 - power) * fall, flat + (1 - flat) * fall
        outline = superellipse(2 * radius, 2 * radius * flat, power, 28)
        outline = outline * (1 - inwards / np.abs(outline).max(0))
        rings.append(np.insert(outline, 1, height - down, axis=1))
    return loft(np.stack(rings))


def _outside(p: Bottle) -> np.ndarray:
    heel = [(p.radius - p.heel * (1 - np.sin(a)), p.heel * (1 - np.cos(a))) for a in np.radians([0, 30, 60, 90])]
    pinch = 0.88 if p.waist == "pinched" else 1.0
    side = [(pinch * p.radius, (0.4 + 0.2 * k) * p.body_height) for k in (0, 1)] if pinch < 1 else []
    # |fall|^q + |rise|^q = 1 from the body's edge to the neck: q = 2 is a quarter of an ellipse.
    turn = np.radians(np.linspace(0, 84, 7))
    rise, fall = np.sin(turn) ** (2 / p.shoulder_power), np.cos(turn) ** (2 / p.shoulder_power)
    shoulder = [
        (p.neck_radius + (p.radius - p.neck_radius) * f, p.body_height + p.shoulder_height * r)
        for r, f in zip(rise, fall)
    ]
    return np.array([*heel, *side, *shoulder])


def _cap(p: Bottle, top: float) -> Solid:
    r, mouth = p.neck_taper * p.neck_radius, p.neck_radius * p.neck_taper + p.lip
    if p.cap == "cork":
        return revolve(
            [
                (r - p.wall - 0.02, top - 1.5),
                (r - 0.5 * p.wall, top - 0.1),
                (r - 0.2 * p.wall, top + 0.4 * p.cap_height),
            ],
            20,
        )
    shell = [(mouth + 0.3, top - p.lip_height - 0.4), (mouth + 0.3, top + 0.25), (mouth + 0.1, top + 0.5)]
    if p.cap == "screw":
        wide = mouth + 0.35
        return revolve(
            [
                (wide, top - 0.6 * p.cap_height),
                (wide, top + 0.3 * p.cap_height),
                (0.9 * wide, top + 0.4 * p.cap_height),
            ],
            20,
        )
    y = top + 0.4 + p.cap_height
    nozzle = [(0.5, y - 0.2), (0.5, y + 0.9)]
    collar, stem = revolve(shell, 20), revolve([(0.45, top), (0.45, y)], 12)
    head = revolve([(1.1, y - 0.2), (1.1, y + 0.6), (0.8, y + 0.9)], 16)
    spout = (
        revolve(nozzle, 12)
        .translate((0, -y - 0.4, 0))
        .rotate((90, 0, 0))
        .scale((1, 1, 3.2))
        .translate((0, y + 0.25, 1.8))
    )
    return collar + stem + head + spout


def _solids(p: Bottle) -> Mapping[str, Solid]:
    outside, start = _outside(p), p.body_height + p.shoulder_height
    top, r = start + p.neck_height, p.neck_taper * p.neck_radius
    body = _rings(p, outside)
    hollow = outside[outside[:, 0] > p.neck_radius * 1.05]
    hollow = np.column_stack([hollow[:, 0], hollow[:, 1].clip(p.wall + 0.2)])[3:]
    bore = revolve([(p.neck_radius - p.wall, start - 0.9 * p.shoulder_height), (r - p.wall, top + 0.01)], 20)
    cavity = _rings(p, hollow, p.wall) + bore if p.cap in ("open", "cork") else None
    lip = [
        (r, top - p.lip_height),
        (r + p.lip, top - 0.8 * p.lip_height),
        (r + p.lip, top - 0.1),
        (r + 0.5 * p.lip, top),
    ]
    neck = revolve([(p.neck_radius, start - 0.35), (p.neck_radius, start), *lip], 20)
    parts = {"body": body, "neck": neck}
    if cavity is not None:
        parts = {name: solid - cavity for name, solid in parts.items()}
    return parts if p.cap == "open" else {**parts, "cap": _cap(p, top)}


BOTTLE = Family("bottle", Bottle, ("body", "neck", "cap"), _solids)
