"""Flanged pipe fittings, in millimetres: the inlet looks down y, a second opening towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.paths import bezier
from scigen.domains.shapes.procedural.solids import Solid, around, box, revolve, rod, sweep, unite

__all__ = ["FLANGE", "Flange"]


@dataclass(frozen=True)
class Flange:
    """A straight pipe, an elbow, a tee or a reducer with bolted flanges at its ends."""

    bore: float = span(18, 40, "mm")
    wall: float = span(0.14, 0.26)
    reach: float = span(1.1, 2.0)
    flange_radius: float = span(1.9, 2.5)
    flange_thickness: float = span(0.22, 0.45)
    face_height: float = span(0.06, 0.14)
    face_radius: float = span(0.25, 0.5)
    neck: float = span(0.2, 0.6)
    neck_radius: float = span(1.15, 1.4)
    hole: float = span(0.16, 0.25)
    hole_circle: float = span(0.5, 0.62)
    second: float = span(0.6, 0.9)
    kind: str = one_of(straight=2, elbow=3, tee=3, reducer=2)
    rim: str = one_of(round=3, square=1)
    bolts: int = count(4, 8)


def _flange(p: Flange, r: float) -> tuple[Solid, Solid]:
    """A flange facing up at y = 0 for a bore of radius r, and its holes."""
    thick, outer, shell = p.flange_thickness * r, p.flange_radius * r, (1 + 2 * p.wall) * r
    sealing = shell + p.face_radius * 0.5 * (outer - shell)
    lift = p.face_height * r
    ring = shell + p.hole_circle * (outer - shell)
    bolt = rod((0, -4 * r, ring), (0, r, ring), p.hole * (outer - shell) + 0.04 * r, count=12)
    neck = [(shell, -thick - lift - p.neck * r - 0.1), (p.neck_radius * shell, -thick - lift + 0.01)]
    face = revolve([*neck, (p.neck_radius * shell, -lift - 0.01), (sealing, -lift - 0.01), (sealing, 0.0)])
    if p.rim == "square":
        plate = box((1.8 * outer, thick, 1.8 * outer), (0, -lift - thick / 2, 0))
        holes = [s.rotate((0, 45, 0)) for s in around(bolt.translate((0, 0, 0.12 * outer)), 4)]
    else:
        plate = rod((0, -lift - thick, 0), (0, -lift, 0), outer, count=36)
        holes = around(bolt, p.bolts)
    return face + plate, unite(holes)


def _solids(p: Flange) -> Mapping[str, Solid]:
    r, shell = p.bore / 2, (1 + 2 * p.wall) * p.bore / 2
    long = (p.reach + 2.2) * r
    end, tilt, small = (0.0, 2 * long, 0.0), (0, 0, 0), r
    path = np.array([(0, 0, 0), end])
    scale = np.array([1.0, 1.0])
    if p.kind == "elbow":
        end, tilt = (0.0, long, long), (90, 0, 0)
        c = 0.55 * long
        path = np.concatenate(
            [[(0, 0, 0)], bezier([(0, 0.1, 0), (0, c, 0), (0, long, long - c), (0, long, long - 0.1)], 12), [end]]
        )
        scale = np.ones(len(path))
    if p.kind == "reducer":
        small = p.second * r
        path = np.array([(0, 0, 0), (0, 0.75 * long, 0), (0, 1.25 * long, 0), end])
        scale = np.array([1.0, 1.0, p.second, p.second])
    beyond = np.concatenate([path[:1] - (path[1] - path[0]) * 0.2, path, path[-1:] + (path[-1] - path[-2]) * 0.2])
    sizes = np.concatenate([scale[:1], scale, scale[-1:]])
    # Flanges are bored wider and stand proud of the pipe, so that no face of one lies in a face of the other.
    hollow, clear, proud = sweep(beyond, circle(r, 24), sizes), sweep(beyond, circle(1.05 * r, 24), sizes), 0.03 * r
    pipe = sweep(path, circle(shell, 24), scale)
    ends = [((0.0, 0.0, 0.0), (180, 0, 0), r), (end, tilt, small)]
    if p.kind == "tee":
        small, out = p.second * r, (0.0, long, long)
        pipe = pipe + rod((0, long, 0), out, (1 + 2 * p.wall) * small, count=24)
        branch = ((0, long, 0), (0, long, 1.2 * long))
        hollow, clear = hollow + rod(*branch, small, count=24), clear + rod(*branch, 1.05 * small, count=24)
        ends.append((out, (90, 0, 0), small))
    solids, holes = [], []
    for place, turn, radius in ends:
        flange, drilled = (s.translate((0, proud, 0)).rotate(turn).translate(place) for s in _flange(p, radius))
        solids.append(flange - drilled)
        holes.append(drilled)
    return {"pipe": pipe - hollow, "flange": unite(solids) - clear}


FLANGE = Family("flange", Flange, ("pipe", "flange"), _solids)
