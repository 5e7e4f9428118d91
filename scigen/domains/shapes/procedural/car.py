"""Cars, in metres: they drive towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import rounded
from scigen.domains.shapes.procedural.parameters import one_of, span
from scigen.domains.shapes.procedural.solids import Solid, both, box, extrude, loft, revolve, rod, slab, unite

__all__ = ["CAR", "Car"]

_BOOT = {
    "hatchback": 0.03,
    "sedan": 0.17,
    "coupe": 0.1,
    "van": 0.02,
    "pickup": 0.36,
}  # behind the cabin, share of length
_BONNET = {"hatchback": 0.24, "sedan": 0.27, "coupe": 0.31, "van": 0.12, "pickup": 0.23}
_TAIL_RAKE = {"hatchback": 0.55, "sedan": 0.8, "coupe": 1.2, "van": 0.12, "pickup": 0.15}  # run over rise
_SCREEN = {"hatchback": 1.0, "sedan": 1.0, "coupe": 1.1, "van": 0.6, "pickup": 0.65}
_TALL = {"hatchback": 1.0, "sedan": 0.95, "coupe": 0.86, "van": 1.28, "pickup": 1.12}


@dataclass(frozen=True)
class Car:
    """A lofted body with wheels in arches and a glazed cabin: hatchback, sedan, coupe, van or pickup."""

    length: float = span(3.7, 4.9, "m")
    width: float = span(1.65, 1.95, "m")
    height: float = span(1.4, 1.62, "m")
    clearance: float = span(0.14, 0.26, "m")
    belt: float = span(0.56, 0.64)
    bonnet: float = span(0.0, 0.05)
    bonnet_fall: float = span(0.8, 0.95)
    wheel_radius: float = span(0.27, 0.34, "m")
    wheel_width: float = span(0.2, 0.28, "m")
    front_overhang: float = span(0.16, 0.2)
    rear_overhang: float = span(0.17, 0.22)
    screen_rake: float = span(0.6, 1.1)
    tumblehome: float = span(0.74, 0.88)
    corner: float = span(0.08, 0.24, "m")
    bumper: float = span(0.16, 0.28, "m")
    body: str = one_of(hatchback=3, sedan=3, coupe=2, van=2, pickup=2)
    roof: str = one_of(plain=3, rack=1)


@dataclass(frozen=True)
class _Lines:
    """What the parts share: heights from the ground, places along z."""

    top: float
    belt: float
    cowl: float  # foot of the windscreen
    rear: float  # foot of the rear window
    roof_front: float
    roof_rear: float


def _lines(p: Car) -> _Lines:
    top = p.height * _TALL[p.body]
    belt = p.belt * p.height * (1.0 if p.body != "van" else 1.1)
    rise, half = top - belt, p.length / 2
    cowl = half - (_BONNET[p.body] + p.bonnet) * p.length
    rear = -half + _BOOT[p.body] * p.length + 0.06
    front = cowl - p.screen_rake * _SCREEN[p.body] * rise
    return _Lines(top, belt, cowl, rear, front, rear + _TAIL_RAKE[p.body] * rise)


def _shell(p: Car, lines: _Lines) -> Solid:
    """The body below the windows: rounded sections from tail to nose."""
    half, low, belt = p.length / 2, p.clearance, lines.belt
    nose = belt * p.bonnet_fall
    tail = belt * (0.97 if p.body in ("sedan", "coupe") else 1.0)
    stations = [  # z, share of the width, bottom, top
        (-half, 0.84, low + 0.16, 0.9 * tail),
        (-half + 0.06, 0.92, low + 0.07, tail - 0.02),
        (-half + 0.3, 0.98, low, tail),
        (lines.rear + 0.1, 1.0, low, belt),
        (lines.cowl, 1.0, low, belt),
        (half - 0.45, 0.97, low, 0.45 * belt + 0.55 * nose),
        (half - 0.12, 0.92, low + 0.05, nose),
        (half, 0.8, low + 0.16, 0.84 * nose),
    ]
    if p.body == "hatchback":
        stations[2] = (-half + 0.2, 0.98, low, tail)
    rings = []
    for z, share, bottom, top in sorted(stations):
        outline = rounded(share * p.width, top - bottom, p.corner)
        rings.append(np.column_stack([outline + [0, (top + bottom) / 2], np.full(len(outline), z)]))
    return loft(np.stack(rings))


def _greenhouse(p: Car, lines: _Lines, inset: float) -> Solid:
    rings = []
    for share, shrink in [(-0.05, 0.0), (0.55, 0.0), (0.9, 0.0), (1.0, 0.09)]:
        front = lines.cowl + share * (lines.roof_front - lines.cowl) - inset - shrink
        rear = lines.rear + share * (lines.roof_rear - lines.rear) + inset + shrink
        wide = p.width * (0.93 + max(share, 0) * (p.tumblehome - 0.93)) - 2 * inset - 1.6 * shrink
        outline = rounded(wide, front - rear, p.corner + 0.04) + [0, (front + rear) / 2]
        y = lines.belt + share * (lines.top - lines.belt) - (inset if share > 0.9 else 0)
        rings.append(np.insert(outline, 1, y, axis=1))
    return loft(np.stack(rings))


def _openings(p: Car, lines: _Lines) -> Solid:
    """What is cut for the windows: panes seen from the side, and one trapezoid through front and rear."""
    low, high = lines.belt + 0.05, lines.top - 0.14
    rise = lines.top - lines.belt

    def edge(foot: float, roof: float, y: float) -> float:
        return foot + (roof - foot) * (y - lines.belt) / rise

    front = [edge(lines.cowl, lines.roof_front, y) - 0.16 for y in (low, high)]
    rear = [edge(lines.rear, lines.roof_rear, y) + 0.18 for y in (low, high)]
    panes = 1 if p.body in ("coupe", "pickup") else 2
    cuts = []
    for k in range(panes):
        a, b = k / panes, (k + 1) / panes
        gap = 0.05 if panes > 1 else 0.0
        corners = [(r + (f - r) * s + d, y) for f, r, y, s, d in [
            (front[0], rear[0], low, a, gap * (k > 0)), (front[0], rear[0], low, b, -gap * (k + 1 < panes)),
            (front[1], rear[1], high, b, -gap * (k + 1 < panes)), (front[1], rear[1], high, a, gap * (k > 0)),
        ]]  # fmt: skip
        cuts.append(extrude([np.array(corners)], 2 * p.width).rotate((0, -90, 0)))
    wide = [0.5 * p.width * 0.93 - 0.16, 0.5 * p.width * p.tumblehome - 0.18]
    screen = [(-wide[0], low), (wide[0], low), (wide[1], high), (-wide[1], high)]
    return unite([*cuts, extrude([np.array(screen)], 2 * p.length)])


def _wheels(p: Car) -> tuple[Solid, Solid]:
    """The four wheels, and the arches to cut for them; each wheel reaches through its arch into the body."""
    r, w, half = p.wheel_radius, p.wheel_width, p.length / 2
    right = [
        (0.5 * r, w - 0.035),
        (0.62 * r, w - 0.035),
        (0.68 * r, w),
        (0.93 * r, w),
        (r, w - 0.04),
        (r, 0.0),
        (0.6 * r, -0.1),
    ]
    hub = [(0.12 * r, w - 0.01), (0.16 * r, w - 0.04)]
    wheel = revolve(hub + right, 20).rotate((0, 0, -90)).translate((p.width / 2 - w - 0.01, r, 0))
    arch = rod((p.width / 2 - w - 0.06, r, 0), (p.width, r, 0), 1.17 * r, count=24)
    places = [half - p.front_overhang * p.length, -half + p.rear_overhang * p.length]
    wheels, arches = (both(unite([s.translate((0, 0, z)) for z in places])) for s in (wheel, arch))
    return wheels, arches


def _fittings(p: Car, lines: _Lines) -> dict[str, Solid]:
    half, y = p.length / 2, p.clearance + 0.5 * p.bumper + 0.06
    bumper = [slab((0.9 * p.width, p.bumper, 0.26), (0, y, s * (half - 0.08)), 0.1, 0.05) for s in (-1, 1)]
    eye, lamp = 0.68 * lines.belt * p.bonnet_fall, 0.07 + 0.1 * p.corner
    front = both(rod((0.31 * p.width, eye, half - 0.3), (0.31 * p.width, eye, half + 0.02), lamp))
    rear = both(box((0.16, 0.2, 0.1), (0.34 * p.width, 0.74 * lines.belt, -half + 0.03)))
    mirror = slab((0.26, 0.13, 0.1), (0.5 * p.width + 0.01, lines.belt + 0.08, lines.cowl - 0.35), 0.04, 0.03)
    parts = {"bumper": unite(bumper), "light": front + rear, "mirror": both(mirror)}
    if p.roof == "rack":
        x, y = 0.36 * p.tumblehome * p.width, lines.top + 0.07
        z = lines.roof_rear + np.array([0.15, 0.25, 0.75, 0.85]) * (lines.roof_front - lines.roof_rear)
        bar = [rod((x, y, z[0]), (x, y, z[3]), 0.035, count=10)]
        bar += [box((0.07, 0.2, 0.09), (x, lines.top, at)) for at in z[1:3]]
        parts["rack"] = both(unite(bar))
    return parts


def _solids(p: Car) -> Mapping[str, Solid]:
    lines = _lines(p)
    wheels, arches = _wheels(p)
    shell = _shell(p, lines) - arches
    if p.body == "pickup":
        start, end, floor = -p.length / 2 + 0.1, lines.rear - 0.1, 2.25 * p.wheel_radius
        size = (p.width - 0.26, 1.0, end - start)
        shell = shell - box(size, (0, floor + 0.5, (start + end) / 2))
    cabin = _greenhouse(p, lines, 0.0) - _openings(p, lines)
    glass = _greenhouse(p, lines, 0.05)
    return {"body": shell, "cabin": cabin, "window": glass, "wheel": wheels, **_fittings(p, lines)}


CAR = Family("car", Car, ("body", "cabin", "window", "wheel", "bumper", "light", "mirror", "rack"), _solids)
