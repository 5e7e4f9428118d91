"""Hammers, in centimetres: the handle stands along y, the face looks towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import ngon, rounded, superellipse
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.paths import bezier
from scigen.domains.shapes.procedural.solids import Solid, extrude, loft, prism, revolve, rod, sweep, unite

__all__ = ["HAMMER", "Hammer"]


@dataclass(frozen=True)
class Hammer:
    """A swelling handle under a head with a face in front and a claw, a ball, a wedge or a second face behind."""

    handle_length: float = span(20, 29, "cm")
    handle_width: float = span(2.2, 3.4, "cm")
    handle_flatness: float = span(0.65, 1.0)
    handle_waist: float = span(0.6, 0.85)
    grip: float = span(0.3, 0.45)
    head_height: float = span(2.6, 3.8, "cm")
    face_radius: float = span(1.3, 2.2, "cm")
    face_length: float = span(1.2, 2.5, "cm")
    neck_radius: float = span(0.62, 0.85)
    neck_length: float = span(1.0, 2.4, "cm")
    peen_length: float = span(4.5, 7.5, "cm")
    peen_drop: float = span(0.5, 2.5, "cm")
    peen_width: float = span(2.2, 3.6, "cm")
    peen: str = one_of(claw=4, ball=2, wedge=2, face=2)
    face: str = one_of(round=3, octagonal=2)
    handle: str = one_of(wood=3, sleeved=2)


def _handle(p: Hammer) -> Solid:
    w, tall = p.handle_width, p.handle_length
    stations = [
        (0.0, 0.86),
        (0.02, 1.0),
        (0.12, 1.02),
        (p.grip, 0.92),
        (0.6, p.handle_waist),
        (0.9, p.handle_waist),
        (1.02, 0.7),
    ]
    outline = superellipse(w * p.handle_flatness, w, 2.6, 18)
    rings = [np.insert(s * outline, 1, y * tall, axis=1) for y, s in stations]
    if p.handle == "wood":
        return loft(np.stack(rings))
    return rod((0, 0.05 * tall, 0), (0, 1.02 * tall, 0), 0.42 * p.handle_waist * w)


def _sleeve(p: Hammer) -> Solid:
    w, tall = p.handle_width, p.grip * p.handle_length + 4
    outline = superellipse(w * p.handle_flatness, w, 3.0, 18)
    steps = np.linspace(0, 1, 9)
    swell = 0.95 + 0.07 * np.cos(np.pi * np.arange(9)) * (steps < 0.9)
    return loft(np.stack([np.insert(s * outline, 1, y * tall, axis=1) for y, s in zip(steps, swell)]))


def _peen(p: Hammer, z: float) -> Solid:
    """From the eye's rear face at z = -`z`, at height 0."""
    h, out = 0.75 * p.head_height, -z - p.peen_length
    if p.peen == "ball":
        r = 0.72 * p.peen_width * 0.75
        neck = rod((0, 0, 0), (0, 0, out + r), 0.42 * p.peen_width, 0.36 * p.peen_width)
        turn = np.radians(np.linspace(-80, 80, 9))
        ball = revolve(np.column_stack([r * np.cos(turn), r * np.sin(turn)]), 18)
        return unite([neck, ball.translate((0, 0, out + r))])
    if p.peen == "wedge":
        start, end = rounded(p.peen_width, h, 0.2, 1), rounded(p.peen_width, 0.5, 0.1, 1)
        stations = [(start, 0.0, 0.0), (start, -z - 0.5, 0.0), (end, out, 0.15 * h - 0.1 * p.peen_drop)]
        return loft(np.stack([np.column_stack([s[:, 0], s[:, 1] + y, np.full(len(s), at)]) for s, at, y in stations]))
    if p.peen == "face":
        return rod((0, 0, 0), (0, 0, 0.5 * out), p.neck_radius * p.face_radius) + rod(
            (0, 0, 0.42 * out), (0, 0, 0.75 * out), p.face_radius
        )
    path = bezier(
        [(0, 0, 0), (0, 0.2, -z - 0.3 * p.peen_length), (0, 0.1, -z - 0.75 * p.peen_length), (0, -p.peen_drop, out)], 9
    )
    thick = np.linspace(1, 0.34, 9)[:, None] * [0, 1] + np.linspace(0.8, 1.15, 9)[:, None] * [1, 0]
    claw = sweep(path, rounded(p.peen_width, h, 0.25, 1), thick)
    notch = np.array([(0, -z - 0.25 * p.peen_length), (-0.3 * p.peen_width, out - 1), (0.3 * p.peen_width, out - 1)])
    slot = extrude([notch], 20).rotate((90, 0, 0))  # (x, y) -> (x, z)
    return claw - slot


def _head(p: Hammer) -> Solid:
    h, z = p.head_height, 0.62 * p.handle_width
    eye = prism((0, 0, -z), (0, 0, z), rounded(1.15 * p.handle_width * p.handle_flatness + 0.3, h, 0.4, 2))
    start, end = z + p.neck_length, z + p.neck_length + p.face_length
    neck = rod((0, 0, 0), (0, 0, start + 0.1), 0.45 * h, p.neck_radius * p.face_radius)
    side = (
        ngon(2 * p.face_radius, 8)
        if p.face == "octagonal"
        else superellipse(2 * p.face_radius, 2 * p.face_radius, 2, 20)
    )
    path = np.array(
        [(0, 0, start), (0, 0, start + 0.12 * p.face_length), (0, 0, end - 0.1 * p.face_length), (0, 0, end)]
    )
    return unite([eye, neck, sweep(path, side, np.array([0.82, 1, 1, 0.86]))])


def _solids(p: Hammer) -> Mapping[str, Solid]:
    lift = (0.0, p.handle_length - 0.35 * p.head_height, 0.0)
    parts = {
        "handle": _handle(p),
        "head": _head(p).translate(lift),
        "peen": _peen(p, 0.62 * p.handle_width).translate(lift),
    }
    return parts if p.handle == "wood" else {**parts, "grip": _sleeve(p)}


HAMMER = Family("hammer", Hammer, ("handle", "head", "peen", "grip"), _solids)
