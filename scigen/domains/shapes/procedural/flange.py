"""Flanged pipe fittings, in millimetres: the inlet looks down y, a second opening towards +z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.outlines import circle, rounded
from scigen.domains.shapes.procedural.parameters import count, one_of, span
from scigen.domains.shapes.procedural.paths import arc, bezier
from scigen.domains.shapes.procedural.solids import Solid, extrude, revolve, rod, sweep, unite

__all__ = ["FLANGE", "Flange"]


@dataclass(frozen=True)
class Flange:
    """A straight pipe, an elbow, a tee or a reducer with bolted flanges at its ends."""

    bore: float = span(18, 40, "mm")
    wall: float = span(0.14, 0.26)
    reach: float = span(1.1, 2.0)
    flange_width: float = span(0.8, 1.2)
    flange_thickness: float = span(0.25, 0.45)
    face_height: float = span(0.06, 0.14)
    face_width: float = span(0.15, 0.35)
    neck: float = span(0.2, 0.6)
    neck_width: float = span(0.12, 0.4)
    hole: float = span(0.11, 0.16)
    hole_circle: float = span(0.6, 0.72)
    second: float = span(0.6, 0.9)
    kind: str = one_of(straight=2, elbow=3, tee=3, reducer=2)
    rim: str = one_of(round=3, square=1)
    bolts: int = count(4, 8)


def _flange(p: Flange, r: float) -> Solid:
    """A flange facing up at y = 0 for a bore of radius r; widths are shares of its ring around the pipe."""
    shell, width, thick, lift = (1 + 2 * p.wall) * r, p.flange_width * r, p.flange_thickness * r, p.face_height * r
    ring, neck = shell + p.hole_circle * width, shell + p.neck_width * width
    if p.rim == "square":
        rim, turn = rounded(1.9 * (shell + width), 1.9 * (shell + width), 0.3 * width), arc(1.14 * ring, 45, 315, 4)
    else:
        rim, turn = circle(shell + width, 32), arc(ring, 0, 360 - 360 / p.bolts, p.bolts)
    holes = [(circle(p.hole * width, 12) + at)[::-1] for at in turn]
    plate = extrude([rim, *holes], thick).rotate((90, 0, 0)).translate((0, -lift - thick / 2, 0))
    face = [(shell + p.face_width * width, -lift - 0.01), (shell + p.face_width * width, 0.0)]
    return plate + revolve(
        [(0.92 * shell, -thick - lift - p.neck * r), (neck, -thick - lift + 0.01), (neck, -lift - 0.01), *face]
    )


def _solids(p: Flange) -> Mapping[str, Solid]:
    r, shell = p.bore / 2, (1 + 2 * p.wall) * p.bore / 2
    long = (p.reach + 2.8) * r
    end, tilt, small = (0.0, 2 * long, 0.0), (0, 0, 0), r
    path = np.array([(0, 0, 0), end])
    scale = np.array([1.0, 1.0])
    if p.kind == "elbow":
        end, tilt = (0.0, long, long), (90, 0, 0)
        lead, c = 0.3 * r, 0.55 * long  # straight at both ends, or the sections of the bend would cross
        bend = bezier([(0, lead, 0), (0, c, 0), (0, long, long - c), (0, long, long - lead)], 12)
        path = np.concatenate([[(0, 0, 0)], bend, [end]])
        scale = np.ones(len(path))
    if p.kind == "reducer":
        small = p.second * r
        path = np.array([(0, 0, 0), (0, 0.75 * long, 0), (0, 1.25 * long, 0), end])
        scale = np.array([1.0, 1.0, p.second, p.second])
    steps = (path[1] - path[0], path[-1] - path[-2])
    ahead = [r * step / np.linalg.norm(step) for step in steps]  # the bore reaches out of both flanges
    beyond = np.concatenate([path[:1] - ahead[0], path, path[-1:] + ahead[1]])
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
    flanges = [_flange(p, radius).translate((0, proud, 0)).rotate(turn).translate(at) for at, turn, radius in ends]
    return {"pipe": pipe - hollow, "flange": unite(flanges) - clear}


FLANGE = Family("flange", Flange, ("pipe", "flange"), _solids)
