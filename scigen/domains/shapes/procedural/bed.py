"""Beds, in metres: the head lies at -z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle, rounded
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.solids import Solid, both, box, extrude, prism, revolve, rod, slab, unite

__all__ = ["BED", "Bed"]


@dataclass(frozen=True)
class Bed:
    """A frame on feet with a mattress, pillows and a cover; a headboard of one panel, of slats or arched."""

    width: float = span(0.9, 1.8, "m")
    length: float = span(1.9, 2.15, "m")
    clearance: float = span(0.08, 0.3, "m")
    rail_height: float = span(0.12, 0.24, "m")
    rail_margin: float = span(0.03, 0.08, "m")
    mattress: float = span(0.16, 0.3, "m")
    head_height: float = span(0.35, 0.8, "m")
    head_thickness: float = span(0.05, 0.1, "m")
    foot_height: float = span(0.04, 0.3, "m")
    pillow_width: float = span(0.5, 0.8, "m")
    pillow_height: float = span(0.1, 0.18, "m")
    leg_thickness: float = span(0.05, 0.1, "m")
    cover: float = span(0.4, 0.75)
    head: str = one_of(panel=2, slats=1, arch=1)
    posts: str = one_of(none=2, turned=1)
    blanket: str = one_of(none=1, folded=2)
    pillows: int = count(1, 2)
    slats: int = count(5, 9)


def _headboard(p: Bed, width: float, base: float) -> Solid:
    t, top = p.head_thickness, base + p.head_height
    low = 0.7 * p.clearance
    middle, tall = (low + top) / 2, top - low
    if p.head == "panel":
        board = extrude([rounded(width, tall, 0.06) + [0, middle]], t)
    elif p.head == "arch":
        arc = np.linspace(0, np.pi, 14)
        bow = np.stack([width / 2 * np.cos(arc), base + p.head_height * (0.45 + 0.55 * np.sin(arc) ** 0.8)], 1)
        board = extrude([np.concatenate([bow, [[-width / 2, low], [width / 2, low]]])], t)
    else:
        rails = [box((width, 0.09, t), (0, y, 0)) for y in (top - 0.045, base)]
        rails += [both(box((t, tall, t), (width / 2 - t / 2, middle, 0)))]
        bars = np.linspace(-width / 2, width / 2, p.slats + 2)[1:-1]
        board = unite(rails + [box((0.05, p.head_height, 0.6 * t), (x, (base + top) / 2 - 0.03, 0)) for x in bars])
    return board.translate((0, 0, -p.length / 2 - t / 2 + 0.02))


def _bedding(p: Bed, floor: float) -> dict[str, Solid]:
    top, wide, long = floor + p.mattress, p.width, p.length
    parts = {"mattress": slab((wide, p.mattress, long), (0, floor + p.mattress / 2, 0), 0.06, 0.05)}
    x = wide / 4 if p.pillows == 2 else 0.0
    size = (min(p.pillow_width, (0.46 if x else 0.9) * wide), p.pillow_height, 0.38)
    pillow = slab(size, (x, top + 0.3 * p.pillow_height, -long / 2 + 0.25), 0.1, 0.5 * p.pillow_height)
    parts["pillow"] = both(pillow) if x else pillow
    if p.blanket == "folded":
        cover = p.cover * long
        size = (wide + 0.06, 0.6 * p.mattress, cover)
        parts["blanket"] = slab(size, (0, top + 0.035 - 0.3 * p.mattress, long / 2 - cover / 2 + 0.03), 0.06, 0.04)
    return parts


def _solids(p: Bed) -> Mapping[str, Solid]:
    wide, base = p.width + 2 * p.rail_margin, p.clearance + p.rail_height
    frame = slab((wide, p.rail_height, p.length + 0.04), (0, base - p.rail_height / 2, 0), 0.03, 0.01)
    foot_top = base + p.foot_height
    low = 0.8 * p.clearance
    foot = slab((wide, foot_top - low, 0.06), (0, (foot_top + low) / 2, p.length / 2 + 0.045), 0.01, 0.015)
    x, z, r = wide / 2 - 0.6 * p.leg_thickness, p.length / 2 - 0.6 * p.leg_thickness, p.leg_thickness / 2
    legs = both(unite([prism((x, base - 0.05, s * z), (x, 0, s * z), circle(r, 14), 0.7) for s in (-1, 1)]))
    if p.posts == "turned":
        z, top = p.length / 2 + 0.03, foot_top + 0.12
        knob = revolve(
            [(0.5 * r, top - 0.01), (1.3 * r, top + r), (1.2 * r, top + 1.6 * r), (0.3 * r, top + 2.4 * r)], 14
        )
        post = rod((0, 0, 0), (0, top, 0), 1.1 * r, count=14) + knob
        legs = unite([legs, both(post.translate((x, 0, z)))])
    parts = {"frame": frame + foot, "headboard": _headboard(p, wide, base), "leg": legs}
    return {**parts, **_bedding(p, base - 0.25 * p.rail_height)}


BED = Family("bed", Bed, ("frame", "headboard", "leg", "mattress", "pillow", "blanket"), _solids)
