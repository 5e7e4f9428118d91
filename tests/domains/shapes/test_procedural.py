"""Every family: closed, in one piece, labelled, in the unit frame, a function of its parameters and of all of them."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.family import Family, build
from scigen.domains.shapes.procedural.parameters import Choice, Span, choices, draw, spans
from scigen.io.shape import Mesh

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)


def parameters(family: Family, seed: int) -> Any:
    return draw(family.parameters, np.random.default_rng(seed))


def triangles(mesh: Mesh) -> np.ndarray:
    return mesh.vertices.astype(np.float64)[mesh.faces]


def volume(mesh: Mesh) -> float:
    return float(np.linalg.det(triangles(mesh)).sum() / 6)


def part_areas(mesh: Mesh, family: Family) -> dict[str, float]:
    a, b, c = np.moveaxis(triangles(mesh), 1, 0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return dict(zip(family.parts, np.bincount(mesh.part, area, len(family.parts)), strict=True))


def pieces(mesh: Mesh) -> int:
    """Components of the graph of the edges."""
    start, end = mesh.faces[:, [0, 1]].ravel(), mesh.faces[:, [1, 2]].ravel()
    links = coo_array((np.ones(len(start)), (start, end)), shape=(len(mesh.vertices),) * 2)
    return int(connected_components(links, directed=False)[0])


def assert_sound(mesh: Mesh, family: Family, expected: set[str]) -> None:
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    there, count = np.unique(edges, axis=0, return_counts=True)
    assert (count == 1).all(), "an edge is walked twice in one direction"
    back = np.unique(edges[:, ::-1], axis=0)
    assert (there == back).all(), "an edge is not walked back"
    assert pieces(mesh) == 1
    assert volume(mesh) > 1e-4
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(0.5, abs=1e-5)
    areas = part_areas(mesh, family)
    assert {name for name, area in areas.items() if area > 1e-4} == expected
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32 and mesh.part.dtype == np.int16


@every_family
@pytest.mark.parametrize("seed", [0, 1])
def test_draws_are_sound(family: Family, seed: int) -> None:
    p = parameters(family, seed)
    assert_sound(build(family, p), family, set(family.solids(p)))


@every_family
@pytest.mark.parametrize("corner", ["low", "high", "mixed"])
def test_corners_of_the_ranges_are_sound(family: Family, corner: str) -> None:
    rng = np.random.default_rng(11)
    laws = spans(family.parameters).items()
    ends = {
        name: law.low if corner == "low" or (corner == "mixed" and rng.random() < 0.5) else law.high
        for name, law in laws
    }
    p = dataclasses.replace(draw(family.parameters, rng), **ends)
    assert_sound(build(family, p), family, set(family.solids(p)))


@every_family
def test_manifold_agrees(family: Family) -> None:
    import manifold3d

    mesh = build(family, parameters(family, 8))
    vertices, faces = mesh.vertices.astype(np.float64), mesh.faces.astype(np.uint64)
    solid = manifold3d.Manifold(manifold3d.Mesh64(vertices, faces))
    assert solid.status() == manifold3d.Error.NoError
    assert solid.volume() == pytest.approx(volume(mesh), rel=1e-4)


@every_family
def test_a_family_has_variety(family: Family) -> None:
    assert len(spans(family.parameters)) >= 8
    assert choices(family.parameters)
    assert len(family.parts) >= 2 and len(set(family.parts)) == len(family.parts)
    for law in spans(family.parameters).values():
        assert law.low < law.high and law.unit in {"m", "cm", "mm", "deg", "1"}
    for choice in choices(family.parameters).values():
        assert sum(choice.chances) == pytest.approx(1) and len(choice.options) >= 2


def signature(family: Family, p: Any) -> np.ndarray:
    """Area and moments of each part's surface: they follow the shape, and not how it is cut into triangles."""
    values = np.zeros((len(family.parts), 10))
    for name, solid in family.solids(p).items():
        mesh = solid.to_mesh64()
        a, b, c = np.moveaxis(np.asarray(mesh.vert_properties)[np.asarray(mesh.tri_verts)], 1, 0)
        area, middle = np.linalg.norm(np.cross(b - a, c - a), axis=1), (a + b + c) / 3
        # The mean of a square over a triangle takes its corners and its middle.
        square = (a**2 + b**2 + c**2 + 9 * middle**2) / 12
        moments = [area.sum(), *(area @ middle), *(area @ square), *(area @ middle**3)]
        values[family.parts.index(name)] = moments
    return values


def away(law: Span | Choice, value: Any) -> Any:
    """Another value of the parameter, far from this one."""
    if isinstance(law, Span):
        return law.low if value > (law.low + law.high) / 2 else law.high
    return next(option for option in reversed(law.options) if option != value)


@every_family
def test_every_parameter_matters(family: Family) -> None:
    """Each moves some variant: tried on one draw, then with its choices changed one and two at a time."""
    laws = {**spans(family.parameters), **choices(family.parameters)}
    options = [(name, option) for name, law in choices(family.parameters).items() for option in law.options]
    base, left = parameters(family, 3), set(laws)
    for twist in [(), *((o,) for o in options), *itertools.combinations(options, 2)]:
        if not left:
            break
        p = dataclasses.replace(base, **dict(twist))
        here = signature(family, p)
        for name in left - dict(twist).keys():
            there = signature(family, dataclasses.replace(p, **{name: away(laws[name], getattr(p, name))}))
            if not np.allclose(here, there, rtol=1e-4, atol=1e-9):
                left.discard(name)
    assert not left


@every_family
def test_every_part_appears_in_some_variant(family: Family) -> None:
    seen: set[str] = set()
    for name, law in choices(family.parameters).items():
        for option in law.options:
            seen |= set(family.solids(dataclasses.replace(parameters(family, 5), **{name: option})))
    assert seen == set(family.parts)


HOLES: list[tuple[str, dict[str, Any], int]] = [  # through holes and handles of an object, counted by hand
    ("mug", {"foot": "flat"}, 1),
    ("teapot", {"handle": "rear"}, 1),
    ("vase", {"kind": "vase", "handles": "two", "lid": "none", "surface": "smooth"}, 2),
    ("bottle", {"cap": "open"}, 0),
    ("gear", {"body": "disc"}, 1),
    ("gear", {"body": "drilled", "openings": 5}, 6),
    ("gear", {"body": "spoked", "openings": 4}, 5),
    ("flange", {"kind": "straight", "rim": "round", "bolts": 6}, 13),
    ("flange", {"kind": "elbow", "rim": "round", "bolts": 4}, 9),
    ("flange", {"kind": "reducer", "rim": "square"}, 9),
    ("flange", {"kind": "tee", "rim": "round", "bolts": 5}, 17),
    ("bracket", {"columns": 2, "wall": "plain", "stiffener": "none"}, 8),
    ("bracket", {"columns": 1, "wall": "plain", "stiffener": "two_ribs"}, 4),
    ("bracket", {"columns": 1, "wall": "boss", "stiffener": "centre_rib"}, 5),
    ("wrench", {"ends": "rings"}, 2),
    ("wrench", {"ends": "jaws"}, 0),
    ("bolt", {"nut": "none"}, 0),
    ("hammer", {}, 0),
    ("screwdriver", {}, 0),
    ("chair", {"base": "round_legs", "stretchers": "none", "back": "slats", "slats": 4, "arms": "none"}, 5),
    ("table", {"base": "square_legs", "apron": "none", "shelf": "none"}, 0),
]


@pytest.mark.parametrize(("name", "variant", "genus"), HOLES, ids=lambda v: str(v))
def test_objects_have_their_holes(name: str, variant: dict[str, Any], genus: int) -> None:
    """Euler: corners - edges + faces = 2 - 2 genus."""
    family = next(f for f in FAMILIES if f.name == name)
    mesh = build(family, dataclasses.replace(parameters(family, 12), **variant))
    assert len(mesh.vertices) - 3 * len(mesh.faces) // 2 + len(mesh.faces) == 2 - 2 * genus


@every_family
def test_the_same_parameters_give_the_same_mesh(family: Family) -> None:
    p = parameters(family, 6)
    one, two = build(family, p), build(family, p)
    for a, b in zip((one.vertices, one.faces, one.part), (two.vertices, two.faces, two.part), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@every_family
def test_a_hundred_draws_are_sound(family: Family) -> None:
    for seed in range(100):
        p = parameters(family, 1000 + seed)
        assert_sound(build(family, p), family, set(family.solids(p)))
