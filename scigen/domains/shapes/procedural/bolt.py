"""Bolts and screws, in millimetres: the axis is y, the head is up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import ngon
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.solids import Solid, box, loft, prism, revolve, rod, unite

__all__ = ["BOLT", "Bolt"]


@dataclass(frozen=True)
class Bolt:
    """A shank with a helical thread under a hexagonal, socket, domed or countersunk head, with a nut or a washer.

    All but the diameter are shares of it, or of the part they belong to.
    """

    diameter: float = span(6, 12, "mm")
    length: float = span(2.6, 5.0)
    threaded: float = span(0.5, 0.82)
    pitch: float = span(0.18, 0.3)
    thread_depth: float = span(0.06, 0.12)
    point: float = span(0.1, 0.4)
    head_width: float = span(1.55, 2.1)
    head_height: float = span(0.55, 0.9)
    chamfer: float = span(0.05, 0.16)
    drive: float = span(0.5, 0.7)
    drive_depth: float = span(0.3, 0.6)
    washer: float = span(1.2, 1.5)
    nut_place: float = span(0.45, 0.7)
    head: str = one_of(hexagon=4, socket=2, dome=2, countersunk=2)
    nut: str = one_of(none=3, hexagon=2)
    collar: str = one_of(none=2, washer=2)


def _thread(p: Bolt) -> Solid:
    """From the tip at y = 0 upwards; the radius follows a triangle wave of height + pitch * turn."""
    size, r, pitch = 16, p.diameter / 2, p.pitch * p.diameter
    top = p.threaded * p.length * p.diameter
    level = np.linspace(0, top, max(12, int(4 * top / pitch)))
    angle = np.linspace(0, 2 * np.pi, size, endpoint=False)
    phase = (level[:, None] / pitch + angle / (2 * np.pi)) % 1
    tip = np.clip(level / (p.point * p.diameter), 0, 1)[:, None]
    radius = r * (1 - p.thread_depth * 2 * np.abs(2 * phase - 1)) * (0.7 + 0.3 * tip)
    rings = [radius * np.cos(angle), np.broadcast_to(level[:, None], radius.shape), radius * np.sin(angle)]
    return loft(np.stack(rings, -1))


def _head(p: Bolt) -> Solid:
    """On the plane y = 0."""
    d, wide, tall = p.diameter, p.head_width * p.diameter, p.head_height * p.diameter
    bevel = p.chamfer * d
    if p.head == "hexagon":
        cap = revolve(
            [(0.55 * wide, 0), (0.6 * wide, bevel), (0.6 * wide, tall - bevel), (0.6 * wide - 1.8 * bevel, tall)]
        )
        return prism((0, 0, 0), (0, tall, 0), ngon(wide, 6)) ^ cap
    if p.head == "socket":
        knob = revolve([(0.47 * wide, 0), (0.47 * wide, 1.1 * tall - bevel), (0.47 * wide - bevel, 1.1 * tall)])
        return knob - prism((0, (1.1 - p.drive_depth) * tall, 0), (0, 2 * tall, 0), ngon(p.drive * wide, 6))
    if p.head == "dome":
        turn = np.radians(np.linspace(0, 80, 7))
        knob = revolve(
            [(0.5 * wide, 0), *np.column_stack([0.5 * wide * np.cos(turn), bevel + 0.8 * tall * np.sin(turn)])]
        )
        wing, deep = 0.2 * d, 0.8 * tall + bevel - 0.7 * p.drive_depth * tall
        slots = [
            box((p.drive * wide, 2 * tall, wing), (0, deep + tall, 0)),
            box((wing, 2 * tall, p.drive * wide), (0, deep + tall, 0)),
        ]
        return knob - unite(slots)
    cone = revolve([(0.5 * d, -0.7 * tall), (0.5 * wide, -0.15 * d), (0.5 * wide, bevel)])
    return cone - box((2 * wide, p.drive_depth * tall, 0.25 * p.drive * d + 0.1 * d), (0, bevel, 0))


def _solids(p: Bolt) -> Mapping[str, Solid]:
    d, end = p.diameter, p.length * p.diameter
    start = p.threaded * end
    parts = {"thread": _thread(p), "shank": rod((0, start - 0.1 * d, 0), (0, end + 0.05 * d, 0), 0.5 * d, count=20)}
    parts["head"] = _head(p).translate((0, end, 0))
    if p.collar == "washer":
        y = end - (0.7 * p.head_height * d if p.head == "countersunk" else 0)
        parts["washer"] = rod((0, y - 0.16 * d, 0), (0, y + 0.02, 0), 0.5 * p.washer * p.head_width * d, count=28)
    if p.nut == "hexagon":
        y, tall, wide = p.nut_place * start, 0.8 * d, 1.75 * d
        bevel = revolve([(0.5 * wide, 0), (0.6 * wide, 0.12 * d), (0.6 * wide, tall - 0.12 * d), (0.5 * wide, tall)])
        nut = prism((0, 0, 0), (0, tall, 0), ngon(wide, 6)) ^ bevel
        parts["nut"] = nut.translate((0, y - tall / 2, 0)) - rod((0, y - d, 0), (0, y + d, 0), 0.46 * d, count=16)
    return parts


BOLT = Family("bolt", Bolt, ("thread", "shank", "head", "washer", "nut"), _solids)
