"""Shelves and cabinets, in metres: open towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.solids import Solid, both, box, prism, rod, slab, unite

__all__ = ["SHELF", "Shelf"]


@dataclass(frozen=True)
class Shelf:
    """A case of boards, on a plinth or on legs, with an open or closed back, dividers, and doors below or none."""

    width: float = span(0.5, 1.2, "m")
    height: float = span(0.8, 1.9, "m")
    depth: float = span(0.24, 0.42, "m")
    board: float = span(0.028, 0.045, "m")
    side: float = span(0.03, 0.05, "m")
    crown: float = span(0.0, 0.05, "m")
    inset: float = span(0.0, 0.05, "m")
    foot_height: float = span(0.05, 0.16, "m")
    foot_thickness: float = span(0.03, 0.06, "m")
    progression: float = span(0.75, 1.15)
    door_height: float = span(0.25, 0.4)
    divider: float = span(0.35, 0.65)
    feet: str = one_of(plinth=2, legs=2, sides=1)
    rear: str = one_of(panel=3, open=2)
    doors: str = one_of(none=2, low=1)
    columns: str = one_of(one=2, two=1)
    shelves: int = count(2, 5)


def _levels(p: Shelf) -> np.ndarray:
    """Heights of the boards from floor to top: each gap is `progression` times the one below."""
    gaps = p.progression ** np.arange(p.shelves + 1)
    share = np.concatenate([[0], np.cumsum(gaps)]) / gaps.sum()
    return p.foot_height + p.board / 2 + share * (p.height - p.foot_height - p.board)


def _feet(p: Shelf) -> Solid:
    t, top = p.foot_thickness, p.foot_height + 0.5 * p.board
    if p.feet == "plinth":
        return box((p.width - 0.8 * t, top, p.depth - 0.8 * t), (0, top / 2, 0))
    if p.feet == "legs":
        x, z = p.width / 2 - t, p.depth / 2 - t
        legs = [prism((x, top, s * z), (x + 0.02, 0, s * (z + 0.02)), circle(t / 2, 14), 0.6) for s in (-1, 1)]
        return both(unite(legs))
    return both(box((p.side, top, p.depth), (p.width / 2 - p.side / 2, top / 2, 0)))


def _doors(p: Shelf, floor: float) -> Solid:
    tall = p.door_height * (p.height - p.foot_height)
    wide, z = p.width / 2 - 0.006, p.depth / 2
    door = slab((wide - 0.012, tall, 0.034), (wide / 2 + 0.006, floor + tall / 2, z), 0.005)
    knob = rod((0.05, floor + 0.55 * tall, z), (0.05, floor + 0.55 * tall, z + 0.05), 0.02, count=12)
    return both(door + knob)


def _solids(p: Shelf) -> Mapping[str, Solid]:
    levels, middle = _levels(p), (p.height + p.foot_height) / 2
    tall, back = p.height - p.foot_height, -p.depth / 2
    boards = [slab((p.width - p.side, p.board, p.depth - p.inset), (0, y, -p.inset / 2), 0.004) for y in levels[1:-1]]
    ends = [(p.width - 0.5 * p.side, p.board, p.depth), (p.width + 2 * p.crown, p.board, p.depth + p.crown)]
    boards += [slab(size, (0, y, z), 0.004) for size, y, z in zip(ends, levels[[0, -1]], (0, p.crown / 2))]
    sides = [both(box((p.side, tall - 0.4 * p.board, p.depth), (p.width / 2 - p.side / 2, middle - 0.2 * p.board, 0)))]
    if p.columns == "two":
        x = (p.divider - 0.5) * p.width
        sides.append(box((0.9 * p.side, tall - p.board, p.depth - p.inset - 0.02), (x, middle, -p.inset / 2 - 0.01)))
    parts = {"board": unite(boards), "side": unite(sides), "foot": _feet(p)}
    if p.rear == "panel":
        parts["back"] = box((p.width - 0.6 * p.side, tall - p.board, 0.028), (0, middle, back + 0.014))
    if p.doors == "low":
        parts["door"] = _doors(p, float(levels[0]) - p.board / 2)
    return parts


SHELF = Family("shelf", Shelf, ("board", "side", "foot", "back", "door"), _solids)
