"""Boats, in metres: they sail towards +z; the deck lies at height 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import airfoil, rounded
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.solids import Solid, both, box, extrude, loft, rod, slab, unite

__all__ = ["BOAT", "Boat"]


@dataclass(frozen=True)
class Boat:
    """A hull with a sheer and a raked bow, under sail, with a cabin, or open with benches and oars; in hull lengths."""

    length: float = span(4, 14, "m")
    beam: float = span(0.28, 0.4)
    depth: float = span(0.13, 0.2)
    sheer: float = span(0.03, 0.09)
    bow: float = span(1.5, 2.6)
    stern: float = span(0.55, 0.9)
    fullness: float = span(1.5, 3.2)
    bow_rake: float = span(0.05, 0.14)
    cabin_height: float = span(0.09, 0.16)
    cabin_length: float = span(0.24, 0.38)
    mast_height: float = span(0.9, 1.25)
    boom: float = span(0.35, 0.46)
    keel: float = span(0.1, 0.2)
    kind: str = one_of(sail=3, motor=3, open=2)
    jib: str = one_of(none=1, set=2)
    benches: int = count(2, 3)


def _half_beam(p: Boat, t: np.ndarray | float) -> np.ndarray | float:
    """Half the breadth at t = 0 (stern) to 1 (bow): widest at 0.4."""
    aft = p.stern + (1 - p.stern) * np.sin(np.clip(np.asarray(t) / 0.4, 0, 1) * np.pi / 2)
    fore = 1 - np.clip((np.asarray(t) - 0.4) / 0.6, 0, 1) ** p.bow
    return 0.5 * p.beam * np.maximum(aft * fore, 0.02)


def _deck(p: Boat, t: np.ndarray | float) -> np.ndarray | float:
    return p.sheer * (np.asarray(t) - 0.35) ** 2 / 0.42


def _hull(p: Boat, inset: float, raise_: float) -> Solid:
    """Sections |x/b|^q from the keel to the deck, the whole `inset` from the skin; `raise_` lifts the deck."""
    level = np.linspace(0, 1, 8)
    rings = []
    for t in np.linspace(0.0, 1.0, 15):
        half, top = max(float(_half_beam(p, t)) - inset, 0.006), float(_deck(p, t)) + raise_
        low = -p.depth * (1 - 0.35 * max(t - 0.75, 0) / 0.25) + inset
        x, y = half * level ** (1 / p.fullness), low + (float(_deck(p, t)) - low) * level
        x[0] = 0.25 * half
        y[-1] = top
        z = (t - 0.5) * (1 - 2 * inset) + p.bow_rake * max(t - 0.7, 0) / 0.3 * (level - 0.4)
        right = np.stack([x, y, z], 1)
        rings.append(np.concatenate([right, (right * [-1, 1, 1])[::-1]]))
    return loft(np.stack(rings))


def _sailing(p: Boat) -> dict[str, Solid]:
    z, r, tall = 0.1, 0.014, p.mast_height
    deck = float(_deck(p, 0.6))
    y = deck + p.cabin_height * 0.55 + 0.07
    main = [
        (z, y + 0.02),
        (z, deck + 0.95 * tall),
        (z - 0.35 * p.boom, deck + 0.5 * tall),
        (z - 0.95 * p.boom, y + 0.02),
    ]
    sails = [extrude([np.array(main)], 0.022).rotate((0, -90, 0))]
    if p.jib == "set":
        tack = 0.45 + 0.4 * p.bow_rake
        jib = [(tack, float(_deck(p, 1)) - 0.01), (z - 0.006, deck + 0.8 * tall), (z - 0.02, y - 0.01)]
        sails.append(extrude([np.array(jib)], 0.022).rotate((0, -90, 0)))
    mast = [
        rod((0, -0.5 * p.depth, z), (0, deck + tall, z), r, 0.75 * r, 12),
        rod((0, y, z), (0, y, z - p.boom), r, count=10),
    ]
    cabin = slab((0.44 * p.beam, p.cabin_height, p.cabin_length), (0, deck + 0.2 * p.cabin_height, 0.1), 0.06, 0.02)
    rings = []
    for share in (0.0, 1.0):
        c = 0.2 - 0.06 * share
        fin = airfoil(c, 0.2)
        rings.append(
            np.column_stack(
                [
                    fin[:, 1],
                    np.full(len(fin), -0.8 * p.depth - share * (p.keel + 0.05)),
                    0.12 - 0.05 * share - fin[:, 0],
                ]
            )
        )
    rudder = box((0.024, 0.5 * p.keel + p.depth, 0.07), (0, -0.6 * p.depth - 0.25 * p.keel, -0.5))
    return {"sail": unite(sails), "mast": unite(mast), "cabin": cabin, "keel": loft(np.stack(rings)) + rudder}


def _motor(p: Boat) -> dict[str, Solid]:
    wide, tall, long = 0.72 * p.beam, p.cabin_height, p.cabin_length
    rings = []
    for share, narrow in [(-0.15, 1.0), (0.9, 0.86), (1.0, 0.8)]:
        outline = rounded(narrow * wide, long * (1.1 - 0.22 * max(share, 0)), 0.05) + [0, 0.08 - 0.05 * max(share, 0)]
        rings.append(np.insert(outline, 1, share * tall, axis=1))
    house = loft(np.stack(rings))
    pane = np.array(
        [
            (-0.32 * wide, 0.35 * tall),
            (0.32 * wide, 0.35 * tall),
            (0.27 * wide, 0.82 * tall),
            (-0.27 * wide, 0.82 * tall),
        ]
    )
    side = rounded(0.7 * long, 0.4 * tall, 0.02) + [0.06, 0.6 * tall]
    cuts = extrude([side], 2).rotate((0, -90, 0)) + extrude([pane], 2)
    glass = box((0.72 * wide, 0.7 * tall, 0.76 * long), (0, 0.45 * tall, 0.06))
    bridge = slab((0.6 * wide, 0.5 * tall, 0.35 * long), (0, 1.2 * tall, 0.02), 0.04, 0.015)
    mast = rod((0, tall, -0.02), (0, 1.1 * tall + 0.12 + 0.1 * p.mast_height, -0.06), 0.012, 0.01, 10)
    rail = both(rod((0.34 * p.beam, 0.05, -0.4), (0.4 * p.beam * 0.85, 0.05, 0.0), 0.011, count=8))
    posts = both(
        unite([rod((0.36 * p.beam * 0.97, -0.03, z), (0.34 * p.beam, 0.05, z), 0.011, count=8) for z in (-0.4, -0.2)])
    )
    outboard = slab((0.07, 0.1 + 0.3 * p.keel, 0.09), (0, 0.0, -0.5), 0.02, 0.015)
    leg = box((0.028, p.depth + 0.5 * p.keel, 0.05), (0, -0.5 * p.depth - 0.25 * p.keel, -0.52))
    return {
        "cabin": unite([house - cuts, bridge]),
        "window": glass,
        "mast": unite([mast, rail, posts]),
        "motor": outboard + leg,
    }


def _rowing(p: Boat) -> dict[str, Solid]:
    benches, z = [], np.linspace(-0.28, 0.22, p.benches)
    for at in z:
        wide = 2 * float(_half_beam(p, at + 0.5)) - 0.02
        benches.append(box((wide, 0.022, 0.08), (0, -0.3 * p.depth, at)))
    half = float(_half_beam(p, 0.55))
    lock, out = np.array([half - 0.012, 0.02, 0.05]), np.array([half + 0.9 * p.boom, -0.12, -0.1])
    inner = lock + 0.35 * (lock - out) * [1, 1, 1] / np.linalg.norm(lock - out) * 0.5
    oar = rod(inner, out, 0.012, count=8)
    blade = extrude([rounded(0.16, 0.06, 0.02)], 0.022).rotate((-80, 0, 0))
    turn = float(np.degrees(np.arctan2(out[2] - lock[2], out[0] - lock[0])))
    oar = oar + blade.rotate((0, -turn, 0)).translate(tuple(out))
    pin = rod((lock[0], -0.04, lock[2]), (lock[0], 0.03, lock[2]), 0.014, count=8)
    return {"bench": unite(benches) ^ _hull(p, 0.012, 0.0), "oar": both(oar + pin)}


def _solids(p: Boat) -> Mapping[str, Solid]:
    wall = 0.024
    hull = _hull(p, 0.0, 0.0)
    if p.kind == "open":
        hull = hull - _hull(p, wall, 0.2)
    else:
        cockpit = slab((0.5 * p.stern * p.beam, 0.12, 0.26), (0, 0.03, -0.32), 0.03)
        hull = hull - cockpit
    rest = {"sail": _sailing, "motor": _motor, "open": _rowing}[p.kind](p)
    return {name: solid.scale((p.length,) * 3) for name, solid in {"hull": hull, **rest}.items()}


BOAT = Family("boat", Boat, ("hull", "sail", "mast", "cabin", "keel", "window", "motor", "bench", "oar"), _solids)
