"""Airplanes, in metres: they fly towards +z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import airfoil, superellipse
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.solids import Solid, both, box, loft, prism, revolve, rod, unite

__all__ = ["AIRPLANE", "Airplane"]

_THIN = 0.022  # of the length: no wing is thinner


@dataclass(frozen=True)
class Airplane:
    """A fuselage with wings low or high, a tail of one of three kinds, and jets or propellers."""

    length: float = span(10, 30, "m")
    slenderness: float = span(0.042, 0.068)
    nose: float = span(0.08, 0.18)
    tail_cone: float = span(0.28, 0.42)
    wing_span: float = span(0.85, 1.25)
    wing_chord: float = span(0.15, 0.24)
    wing_taper: float = span(0.3, 0.7)
    wing_sweep: float = span(2, 34, "deg")
    dihedral: float = span(0, 7, "deg")
    wing_place: float = span(0.34, 0.44)
    tail_span: float = span(0.3, 0.42)
    tail_chord: float = span(0.09, 0.14)
    fin_height: float = span(0.13, 0.2)
    fin_sweep: float = span(15, 45, "deg")
    engine_radius: float = span(0.55, 0.78)
    engine_place: float = span(0.28, 0.42)
    wing: str = one_of(low=3, high=2)
    tail: str = one_of(conventional=4, tee=2, vee=1)
    engines: str = one_of(under_wings=3, four_under_wings=1, rear=2, nose_propeller=2, wing_propellers=2)
    gear: str = one_of(up=3, down=2)


def _fuselage(p: Airplane) -> Solid:
    r = p.slenderness
    nose = [(p.nose * (1 - np.cos(a)), np.sin(a), 0.1 * (1 - np.sin(a))) for a in np.radians([12, 30, 50, 70, 90])]
    share = np.linspace(0, 1, 6)[1:]
    # The upper edge stays level while the cone narrows: tails clear the runway.
    cone = [(1 - p.tail_cone * (1 - s), 1 - 0.8 * s**1.4, -0.62 * s**1.4) for s in share]
    stations = [*nose, (1 - p.tail_cone, 1.0, 0.0), *cone]
    outline = superellipse(2 * r, 2.1 * r, 2.0, 20)
    rings = []
    for t, size, drop in stations:
        rings.append(np.column_stack([size * outline + [0, -drop * r], np.full(len(outline), 0.5 - t)]))
    return loft(np.stack(rings))


def _wing(span_: float, chord: float, taper: float, sweep: float, rise: float, front: float, y: float) -> Solid:
    """From tip to tip: the leading edge starts at z = `front` and sweeps back, tips rise by `rise` degrees."""
    rings = []
    for side in (-1.0, -0.97, 0.0, 0.97, 1.0):
        out = abs(side) * span_ / 2
        c = chord * (1 + (taper - 1) * abs(side))
        section = airfoil(c, max(0.12, _THIN / c) * (0.7 if abs(side) == 1 else 1))
        lead = front - np.tan(np.radians(sweep)) * out
        height = section[:, 1] + y + np.tan(np.radians(rise)) * out
        rings.append(np.column_stack([np.full(len(section), side * span_ / 2), height, lead - section[:, 0]]))
    return loft(np.stack(rings))


def _fin(p: Airplane) -> Solid:
    rings, base = [], 0.5 * p.slenderness
    for share, c in [(0.0, 1.5 * p.tail_chord), (0.96, 0.85 * p.tail_chord), (1.0, 0.8 * p.tail_chord)]:
        section = airfoil(c, max(0.12, _THIN / c))
        y = base + share * p.fin_height
        lead = -0.5 + 1.6 * p.tail_chord - np.tan(np.radians(p.fin_sweep)) * share * p.fin_height
        rings.append(np.column_stack([section[:, 1], np.full(len(section), y), lead - section[:, 0]]))
    return loft(np.stack(rings))


def _tail(p: Airplane) -> Solid:
    lead = -0.5 + 1.35 * p.tail_chord
    if p.tail == "vee":
        return _wing(1.1 * p.tail_span, 1.2 * p.tail_chord, 0.6, 0.6 * p.fin_sweep, 38, lead, 0.45 * p.slenderness)
    if p.tail == "conventional":
        return _fin(p) + _wing(p.tail_span, p.tail_chord, 0.55, 0.7 * p.fin_sweep, 4, lead, 0.5 * p.slenderness)
    back = np.tan(np.radians(p.fin_sweep)) * p.fin_height
    y = 0.5 * p.slenderness + 0.97 * p.fin_height
    return _fin(p) + _wing(0.9 * p.tail_span, p.tail_chord, 0.6, 0.7 * p.fin_sweep, 0, lead - 0.9 * back, y)


def _nacelle(radius: float, length: float) -> Solid:
    """Along z about the origin, open in front."""
    outside = [(0.5, -0.62), (0.75, -0.5), (1.0, -0.05), (1.0, 0.3), (0.92, 0.48), (0.8, 0.5)]
    intake = [(0.62, 0.45), (0.55, 0.15), (0.3, 0.2), (0.05, 0.36)]
    return revolve(np.array(outside + intake) * [radius, length], 20).rotate((90, 0, 0))


def _propeller(radius: float, hub: float) -> Solid:
    """At the origin, turning about z."""
    blade = box((0.028, radius, 0.02), (0, radius / 2, 0)).rotate((0, 25, 0))
    spinner = revolve([(hub, -0.02), (hub, 0.01), (0.7 * hub, 0.035), (0.2 * hub, 0.05)], 14).rotate((90, 0, 0))
    return unite(
        [
            spinner,
            *(s.rotate((-90, 0, 0)).rotate((90, 0, 0)) for s in [blade.rotate((0, 0, k * 120)) for k in range(3)]),
        ]
    )


def _wing_at(p: Airplane, share: float) -> tuple[float, float, float]:
    """x, y of the wing and z of its leading edge at a share of the half span."""
    x = share * p.wing_span / 2
    y = (-0.55 if p.wing == "low" else 0.75) * p.slenderness + np.tan(np.radians(p.dihedral)) * x
    return x, y, 0.5 - p.wing_place - np.tan(np.radians(p.wing_sweep)) * x


def _engines(p: Airplane) -> dict[str, Solid]:
    r = p.engine_radius * p.slenderness
    long = 4.2 * r
    if p.engines == "nose_propeller":
        return {
            "propeller": _propeller(0.07 + r, 0.3 * p.slenderness + 0.2 * r).translate((0, -0.07 * p.slenderness, 0.5))
        }
    if p.engines == "rear":
        x, z = 1.0 * p.slenderness + r, -0.5 + p.tail_cone * 0.75 + 0.1 * (p.engine_place - 0.35)
        pylon = box((x, 0.024, 0.5 * long), (x / 2, 0.35 * p.slenderness, z))
        return {"engine": both(_nacelle(r, long).translate((x, 0.4 * p.slenderness, z)) + pylon)}
    shares = (p.engine_place, p.engine_place + 0.3) if p.engines == "four_under_wings" else (p.engine_place,)
    solids, screws = [], []
    for x, y, lead in (_wing_at(p, share) for share in shares):
        if p.engines == "wing_propellers":
            nose = revolve([(0.3 * r, -0.16), (0.8 * r, -0.04), (0.8 * r, 0.06), (0.5 * r, 0.1)], 16).rotate((90, 0, 0))
            solids.append(nose.translate((x, y, lead)))
            screws.append(_propeller(0.05 + r, 0.4 * r + 0.004).translate((x, y, lead + 0.1)))
        else:
            drop = y - 1.15 * r
            solids.append(_nacelle(r, long).translate((x, drop, lead + 0.1 * long)))
            solids.append(box((0.022, 1.1 * r, 0.55 * long), (x, y - 0.5 * r, lead - 0.15 * long)))
    parts = {"engine": both(unite(solids))}
    return {**parts, "propeller": both(unite(screws))} if screws else parts


def _leg(foot: Sequence[float], top: Sequence[float]) -> Solid:
    wheel = rod((foot[0] - 0.014, foot[1], foot[2]), (foot[0] + 0.014, foot[1], foot[2]), 0.024, count=14)
    return prism(top, foot, superellipse(0.02, 0.02, 2, 8)) + wheel


def _gear(p: Airplane) -> Solid:
    low, place = -p.slenderness - 0.06, 0.5 - p.wing_place - 0.6 * p.wing_chord
    front = _leg((0, low, 0.5 - 1.2 * p.nose), (0, 0, 0.5 - 1.3 * p.nose))
    return front + both(
        _leg((0.9 * p.slenderness + 0.02, low, place), (0.3 * p.slenderness, -0.5 * p.slenderness, place))
    )


def _solids(p: Airplane) -> Mapping[str, Solid]:
    _, y, lead = _wing_at(p, 0.0)
    wing = _wing(p.wing_span, p.wing_chord, p.wing_taper, p.wing_sweep, p.dihedral, lead, y)
    parts = {"fuselage": _fuselage(p), "wing": wing, "tail": _tail(p), **_engines(p)}
    if p.gear == "down":
        parts["gear"] = _gear(p)
    return {name: solid.scale((p.length,) * 3) for name, solid in parts.items()}


AIRPLANE = Family("airplane", Airplane, ("fuselage", "wing", "tail", "engine", "propeller", "gear"), _solids)
