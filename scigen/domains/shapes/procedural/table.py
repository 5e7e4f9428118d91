"""Tables and desks, in metres: the long side lies along x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle, rounded, superellipse
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.solids import Solid, around, both, box, loft, prism, revolve, rod, slab, unite

__all__ = ["TABLE", "Table"]


@dataclass(frozen=True)
class Table:
    """A rectangular or oval top on four legs, a pedestal, trestles or a desk's drawers."""

    width: float = span(0.8, 1.7, "m")
    depth: float = span(0.55, 0.95, "m")
    height: float = span(0.42, 0.78, "m")
    top_thickness: float = span(0.028, 0.06, "m")
    top_corner: float = span(0.01, 0.2, "m")
    roundness: float = span(2.0, 3.5)
    overhang: float = span(0.02, 0.12, "m")
    leg_thickness: float = span(0.045, 0.085, "m")
    leg_taper: float = span(0.5, 1.0)
    leg_splay: float = span(0, 8, "deg")
    apron_height: float = span(0.05, 0.11, "m")
    shelf_height: float = span(0.15, 0.4)
    top: str = one_of(rectangle=3, oval=2)
    base: str = one_of(round_legs=2, square_legs=3, pedestal=2, trestle=2, desk=2)
    apron: str = one_of(none=1, frame=1)
    shelf: str = one_of(none=2, low=1)


def _top(p: Table) -> Solid:
    t, y = p.top_thickness, p.height - p.top_thickness / 2
    if p.top == "rectangle":
        return slab((p.width, t, p.depth), (0, y, 0), p.top_corner, 0.25 * t)
    outline = superellipse(p.width, p.depth, p.roundness, 36)
    levels = [(0.96, -0.5), (1.0, -0.2), (1.0, 0.3), (0.985, 0.5)]
    return loft(np.stack([np.insert(s * outline, 1, y + h * t, axis=1) for s, h in levels]))


def _stance(p: Table) -> tuple[float, float]:
    """Where the legs meet the top: an oval leaves less room in its corners."""
    room = 0.5 if p.top == "rectangle" else 0.5 * 2 ** (-1 / p.roundness)
    inset = p.overhang + p.leg_thickness / 2 + (0.2 * p.top_corner if p.top == "rectangle" else 0)
    return room * p.width - inset, room * p.depth - inset


def _legs(p: Table) -> dict[str, Solid]:
    (x, z), r, top = _stance(p), p.leg_thickness / 2, p.height - 0.5 * p.top_thickness
    out = np.tan(np.radians(p.leg_splay)) * top
    section = circle(r, 16) if p.base == "round_legs" else rounded(2 * r, 2 * r, 0.2 * r, 1)
    legs = [prism((x, top, s * z), (x + out, 0, s * (z + out)), section, p.leg_taper) for s in (-1, 1)]
    parts = {"leg": both(unite(legs))}
    if p.apron == "frame":
        y, t = top - p.apron_height / 2, 0.7 * p.leg_thickness
        rails = [
            both(box((t, p.apron_height, 2 * z), (x, y, 0))),
            both(box((2 * x, p.apron_height, t), (0, y, z)), (0, 0, 1)),
        ]
        parts["apron"] = unite(rails)
    if p.shelf == "low":
        spread = out * (1 - p.shelf_height)
        parts["shelf"] = slab((2 * (x + spread), 0.03, 2 * (z + spread)), (0, p.shelf_height * top, 0), 0.01)
    return parts


def _pedestal(p: Table) -> dict[str, Solid]:
    r, foot = p.leg_thickness, 0.28 * min(p.width, p.depth) + p.overhang
    turned = [
        (1.6 * r, 0.02),
        (1.4 * r, 0.1),
        (0.9 * r, 0.16),
        (r * (0.6 + 0.6 * p.leg_taper), 0.5),
        (0.8 * r, 0.8),
        (2.2 * r, 0.97),
    ]
    column = revolve([(radius, y * p.height) for radius, y in turned], 20)
    low = 0.05 + np.tan(np.radians(p.leg_splay)) * foot
    paw = prism((0, low, 0), (0, 0.02, foot), rounded(1.1 * r, 0.05, 0.01, 1), p.leg_taper)
    return {"leg": unite([column, *around(paw + rod((0, 0, foot), (0, 0.05, foot), 0.6 * r, count=12), 4)])}


def _trestle(p: Table) -> dict[str, Solid]:
    (x, z), t, top = _stance(p), 0.8 * p.leg_thickness, p.height - 0.5 * p.top_thickness
    section = rounded(t, t, 0.1 * t, 1)
    lean = 0.25 + 0.5 * np.tan(np.radians(p.leg_splay))
    solids = [prism((x, top, s * (0.5 - lean) * z), (x, 0, s * z), section, 0.6 + 0.4 * p.leg_taper) for s in (-1, 1)]
    solids.append(box((t, t, 1.5 * z), (x, p.height - p.top_thickness - 0.3 * t, 0)))
    spread = 2 * z * (1 - (0.5 + lean) * p.shelf_height)
    solids.append(box((t, 0.8 * t, spread), (x, p.shelf_height * top, 0)))
    beam = box((2 * x, 1.2 * t, 0.7 * t), (0, p.shelf_height * top, 0))
    return {"leg": unite([both(unite(solids)), beam])}


def _desk(p: Table) -> dict[str, Solid]:
    (x, z), t, top = _stance(p), p.leg_thickness, p.height - 0.5 * p.top_thickness
    wide = 0.22 * p.width + 0.5 * t
    foot = 0.06 * p.leg_taper
    chest = box((wide, top - foot, 2 * z), (x - wide / 2, (top + foot) / 2, 0))
    fronts, knobs = [], []
    for k in range(3):
        y = foot + (k + 0.5) * (p.height - p.top_thickness - foot) / 3
        fronts.append(slab((0.88 * wide, 0.27 * (top - foot), 0.05), (x - wide / 2, y, z), 0.01))
        knobs.append(rod((x - wide / 2, y, z), (x - wide / 2, y, z + 0.055), 0.018, count=12))
    side = box((0.6 * t, top, 2 * z), (-x + 0.3 * t, top / 2, 0))
    screen = box(
        (2 * x - 0.1 * t, p.apron_height + 0.2 * p.height, 0.035),
        (0, top - (p.apron_height + 0.2 * p.height) / 2, -z + 0.03),
    )
    plinth = box((0.9 * wide, 0.08, 1.8 * z), (x - wide / 2, 0.04, 0))
    return {"leg": unite([chest, side, plinth]), "apron": screen, "drawer": unite(fronts + knobs)}


def _solids(p: Table) -> Mapping[str, Solid]:
    base = {"pedestal": _pedestal, "trestle": _trestle, "desk": _desk}.get(p.base, _legs)
    return {"top": _top(p), **base(p)}


TABLE = Family("table", Table, ("top", "leg", "apron", "shelf", "drawer"), _solids)
