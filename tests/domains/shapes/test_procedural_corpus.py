"""Generated shapes as a set: reproducible one by one, split by id, their points on their surface and labelled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.procedural.family import assemble
from scigen.domains.shapes.procedural.parameters import count, draw, one_of, span
from scigen.domains.shapes.procedural.solids import box
from scigen.domains.shapes.sets import SPLITS, ShapeSet

BY_NAME = {family.name: family for family in FAMILIES}


def test_it_is_a_shape_set() -> None:
    shapes: ShapeSet = ProceduralSet(3)
    assert len(shapes) == 3 * len(FAMILIES) == len(shapes.ids) == len(shapes.split) == len(shapes.category)
    assert shapes.categories == tuple(BY_NAME) and len(FAMILIES) >= 16
    assert shapes.ids[4] == "table-000001" and shapes.categories[shapes.category[4]] == "table"
    assert len(set(shapes.ids)) == len(shapes) and "CC0" in shapes.licence


def test_a_shape_depends_on_seed_family_and_number_alone() -> None:
    large, small = ProceduralSet(50, seed=4), ProceduralSet(5, seed=4, families=[BY_NAME["mug"], BY_NAME["gear"]])
    for k, name in enumerate(small.ids):
        twin = int(np.flatnonzero(large.ids == name)[0])
        assert large.parameters(twin) == small.parameters(k)
        assert large.split[twin] == small.split[k]
    assert ProceduralSet(5, seed=5).parameters(0) != ProceduralSet(5, seed=4).parameters(0)
    drawn = {repr(large.parameters(k)) for k in range(len(large))}
    assert len(drawn) == len(large)


def test_splits_are_eight_one_one() -> None:
    share = np.bincount(ProceduralSet(400).split, minlength=len(SPLITS)) / (400 * len(FAMILIES))
    np.testing.assert_allclose(share, [0.8, 0.1, 0.1], atol=0.02)


def test_points_lie_on_the_surface_with_their_parts() -> None:
    shapes = ProceduralSet(1, families=[BY_NAME["bracket"]])
    mesh, family = shapes.mesh(0), shapes.family(0)
    cloud, part = shapes.labelled(0, 300, np.random.default_rng(0))
    again = shapes.cloud(0, 300, np.random.default_rng(0))
    np.testing.assert_array_equal(cloud.points, again.points)
    corner = mesh.vertices[mesh.faces[:, 0]].astype(np.float64)
    edges = mesh.vertices[mesh.faces].astype(np.float64)
    normal = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-30
    for point, direction, label in zip(cloud.points, cloud.normals, part, strict=True):
        off = np.abs(((point - corner) * normal).sum(1))
        near = (off < 1e-5) & (normal @ direction > 0.999)
        assert label in mesh.part[near]
    assert set(np.unique(part)) <= set(range(len(family.parts)))


def test_meshes_are_kept_at_hand_and_negative_numbers_count_from_the_end() -> None:
    shapes = ProceduralSet(2, families=[BY_NAME["wrench"]])
    assert shapes.mesh(1) is shapes.mesh(-1)
    with pytest.raises(IndexError):
        shapes.mesh(2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"per_family": 0}, "0 shapes a family"),
        ({"per_family": 2, "seed": -1}, "seed -1"),
        ({"per_family": 2, "families": []}, r"families \[\]"),
        ({"per_family": 2, "families": [FAMILIES[0]] * 2}, "once"),
    ],
)
def test_wild_arguments_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ProceduralSet(**arguments)  # type: ignore[arg-type]


def test_faces_keep_the_name_of_their_solid() -> None:
    # Half of the cube of side 2 lies in the slab: areas are known in closed form.
    cube, slab = box((2, 2, 2)), box((4, 2, 4), (0, -1, 0))
    mesh = assemble({"cube": cube, "slab": slab}, ("slab", "cube"))
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    area = np.bincount(mesh.part, np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)
    np.testing.assert_allclose(area, [2 * 16 - 4 + 4 * 8, 4 + 4 * 2], rtol=1e-9)


def test_parts_that_do_not_touch_are_refused_and_voids_are_filled() -> None:
    with pytest.raises(ValueError, match="make 2 pieces"):
        assemble({"one": box((1, 1, 1)), "two": box((1, 1, 1), (3, 0, 0))}, ("one", "two"))
    hollow = box((2, 2, 2)) - box((1, 1, 1))
    assert len(assemble({"only": hollow}, ("only",)).faces) == 12


def test_draws_follow_their_laws() -> None:
    @dataclass(frozen=True)
    class Thing:
        """Three laws."""

        size: float = span(2, 6, "m")
        kind: str = one_of(often=3, seldom=1)
        legs: int = count(3, 5)

    rng = np.random.default_rng(0)
    things = [draw(Thing, rng) for _ in range(4000)]
    size = np.array([t.size for t in things])
    assert 2 <= size.min() and size.max() < 6 and abs(size.mean() - 4) < 0.1
    assert abs(np.mean([t.kind == "often" for t in things]) - 0.75) < 0.03
    np.testing.assert_allclose(np.bincount([t.legs for t in things])[3:] / 4000, 1 / 3, atol=0.04)
