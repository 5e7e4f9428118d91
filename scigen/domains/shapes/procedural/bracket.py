"""Angle brackets, in millimetres: the foot lies towards +z, the wall plate stands at the back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle, rounded
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.paths import arc
from scigen.domains.shapes.procedural.solids import Solid, both, extrude, rod, unite

__all__ = ["BRACKET", "Bracket"]

_BOSS = 0.68  # where its axis meets the wall, share of the height


@dataclass(frozen=True)
class Bracket:
    """Two drilled plates at an angle with a rounded bend, stiffened by ribs, by side walls or by a bearing's boss."""

    width: float = span(34, 64, "mm")
    foot_length: float = span(35, 70, "mm")
    wall_height: float = span(35, 80, "mm")
    thickness: float = span(3, 7, "mm")
    angle: float = span(82, 105, "deg")
    bend: float = span(2, 8, "mm")
    corner: float = span(2, 12, "mm")
    hole: float = span(2, 3.6, "mm")
    margin: float = span(0.27, 0.34)
    slot: float = span(4, 12, "mm")
    rib_thickness: float = span(2.5, 6, "mm")
    rib_reach: float = span(0.45, 0.8)
    boss: float = span(7, 12, "mm")
    stiffener: str = one_of(none=1, centre_rib=2, two_ribs=2, cheeks=1)
    holes: str = one_of(round=2, slots=2)
    wall: str = one_of(plain=3, boss=2)
    columns: int = count(1, 2)


def _plate(p: Bracket, length: float, drilled: bool) -> Solid:
    """In the xy plane from y = 0 to `length`, its front at z = 0, with two rows of holes or none."""
    outline = rounded(p.width, 2 * length, p.corner)
    outline = outline[outline[:, 1] > 0]
    contour = np.concatenate([outline, [(-p.width / 2, 0), (p.width / 2, 0)]])
    plate = extrude([contour], p.thickness).translate((0, 0, -p.thickness / 2))
    # Ribs leave the holes free: one in the middle wants two columns, two at the sides want them closer.
    free = p.width - (2 * p.rib_thickness + 0.3 * p.corner if p.stiffener in ("two_ribs", "cheeks") else 0.0)
    single = p.columns == 1 and p.stiffener != "centre_rib"
    across = [0.0] if single else [-p.margin * free, p.margin * free]
    start = p.thickness + p.bend
    rows = [start + share * (length - start) for share in (0.25, 0.72)] if drilled else []
    slot = rounded(2 * p.hole, 2 * p.hole + 0.5 * p.slot, p.hole, 4)
    hole = circle(p.hole, 14) if p.holes == "round" else slot
    return plate - unite([extrude([hole + [x, y]], 4 * p.thickness) for x in across for y in rows])


def _ribs(p: Bracket, lean: float) -> Solid:
    """Triangles between the plates, hollow towards the corner they face."""
    room = p.wall_height if p.wall == "plain" else _BOSS * p.wall_height - p.boss  # a rib ends below the boss
    long, tall = p.rib_reach * p.foot_length, p.rib_reach * room
    top = np.array([-np.tan(lean) * tall, tall])
    if p.stiffener == "cheeks":
        profile = np.array(
            [
                (-0.5 * p.thickness, -0.5 * p.thickness),
                (long, -0.5 * p.thickness),
                (long, 0.2 * tall),
                (0.3 * long, 0.8 * tall),
                top,
                top - [0.5 * p.thickness, 0],
            ]
        )
    else:
        curve = np.array([long, 0]) + (top - [long, 0]) * np.linspace(0, 1, 8)[:, None]
        curve -= np.sin(np.linspace(0, np.pi, 8))[:, None] * 0.12 * np.array([long, tall])
        profile = np.concatenate(
            [
                [(-0.5 * p.thickness, -0.5 * p.thickness)],
                [(long, -0.5 * p.thickness)],
                curve,
                [top - [0.5 * p.thickness, 0]],
            ]
        )
    rib = extrude([profile], p.rib_thickness).rotate((0, -90, 0))
    if p.stiffener == "centre_rib":
        return rib
    place = {
        "two_ribs": 0.5 * p.width - 0.5 * p.rib_thickness - 0.15 * p.corner,
        "cheeks": 0.5 * p.width - 0.5 * p.rib_thickness,
    }
    return both(rib.translate((place[p.stiffener], 0, 0)))


def _solids(p: Bracket) -> Mapping[str, Solid]:
    lean = np.radians(p.angle - 90)
    foot = _plate(p, p.foot_length, True).rotate((90, 0, 0)).translate((0, -p.thickness, 0))
    wall = _plate(p, p.wall_height, p.wall == "plain")
    elbow = p.bend * np.array([(0, 0), (1, 0), (0.45, 0.12), (0.12, 0.45), (0, 1)]) + [-0.3, -0.3]
    parts = {"foot": foot}
    if p.wall == "boss":
        y, reach = _BOSS * p.wall_height, p.thickness + 0.6 * p.boss
        boss = rod((0, y, -p.thickness), (0, y, reach - p.thickness), p.boss, count=24)
        bore = rod((0, y, -2 * p.thickness), (0, y, 2 * reach), 0.55 * p.boss, count=20)
        wall, parts["boss"] = wall - rod((0, y, -50), (0, y, 50), 0.55 * p.boss, count=20), boss - bore
    turn = (-float(np.degrees(lean)), 0, 0)
    parts["wall"] = wall.rotate(turn)
    if "boss" in parts:
        parts["boss"] = parts["boss"].rotate(turn)
    fillet = extrude([elbow], p.width).rotate((0, -90, 0))
    outside = arc(p.thickness, 178 + float(np.degrees(lean)), 272, 7)
    outside = extrude([np.concatenate([outside, [(0.1 * p.thickness, 0.1 * p.thickness)]])], p.width).rotate(
        (0, -90, 0)
    )
    parts["bend"] = fillet + outside
    if p.stiffener != "none":
        parts["rib"] = _ribs(p, lean)
    return parts


BRACKET = Family("bracket", Bracket, ("foot", "wall", "bend", "rib", "boss"), _solids)
