"""Near copies, planted among generated objects: found whatever was done to them, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.shapes.corpora.corpus import Entry, corpus_of
from scigen.domains.shapes.likeness import LIKE, described, likeness, near_copies
from scigen.domains.shapes.packing import pack_shapes
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.surface import sample_surface
from scigen.io.shape import Mesh

TRAIN, VAL, TEST = 0, 1, 2
FEW = [family for family in FAMILIES if family.name in ("chair", "mug", "bracket", "bolt")]


@pytest.fixture(scope="module")
def meshes() -> list[Mesh]:
    """Four objects of each of four families."""
    made = ProceduralSet(4, families=FEW)
    return [made.mesh(k) for k in range(len(made))]


def moved(mesh: Mesh, quarters: int, size: float = 7.0) -> Mesh:
    """Another size, another place, turned about y."""
    turn = np.linalg.matrix_power(np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]), quarters)
    return Mesh((size * mesh.vertices @ turn.T + [3, -2, 50]).astype(np.float32), mesh.faces)


def points(mesh: Mesh, seed: int, n: int = 2048) -> np.ndarray:
    return sample_surface(mesh, n, np.random.default_rng(seed))[0].points


def test_copies_are_alike_and_others_are_not(meshes: list[Mesh]) -> None:
    own = [points(mesh, 0) for mesh in meshes]
    for k, mesh in enumerate(meshes):
        copy = points(moved(mesh, k % 4), 1)
        assert likeness(own[k], copy) < LIKE and likeness(copy, own[k]) < LIKE
        (mine, noise), (theirs, _) = described(own[k]), described(copy)
        assert np.linalg.norm(mine - theirs) < 2**0.5 * noise, "the description finds it"
    sisters = [likeness(own[i], own[j]) for i in range(16) for j in range(i) if i // 4 == j // 4]
    assert min(sisters) > LIKE


def test_a_missing_part_makes_another_shape() -> None:
    """A mug with a handle and its like without: the mean distance hardly knows."""
    made = ProceduralSet(8, families=[family for family in FAMILIES if family.name == "mug"])
    mesh = next(m for m in map(made.mesh, range(8)) if (m.part == made.family(0).parts.index("handle")).sum() > 20)
    whole, rng = points(mesh, 0, 4096), np.random.default_rng(1)
    cloud, face = sample_surface(mesh, 4096, rng)
    bare = cloud.points[mesh.part[face] != made.family(0).parts.index("handle")]
    assert 0.8 < len(bare) / 4096 < 1 and likeness(whole, bare) > LIKE


def test_near_copies_yield_to_the_earlier_split(meshes: list[Mesh]) -> None:
    """Shapes 0 and 4 are in train, 8 in test; copies of them lie in the other splits, and one inside its own."""
    planted = [(0, 1, TEST), (4, 2, VAL), (8, 3, VAL), (0, 0, TRAIN)]
    clouds = [points(mesh, 0) for mesh in meshes]
    split = np.array([TRAIN] * 8 + [TEST] * 4 + [VAL] * 4 + [where for *_, where in planted])
    clouds += [points(moved(meshes[k], quarters), 5) for k, quarters, _ in planted]
    found = near_copies(clouds.__getitem__, split)
    assert np.flatnonzero(found).tolist() == [16, 17, 18]
    assert not near_copies(clouds.__getitem__, np.full(20, TRAIN)).any()


def test_packing_leaves_them_out_and_counts_them(meshes: list[Mesh]) -> None:
    shapes = [*meshes[:6], moved(meshes[1], 1), moved(meshes[5], 2)]
    entries = [Entry(str(k), "c", "train") for k in range(6)] + [Entry("6", "c", "test"), Entry("7", "d", "val")]
    packing = pack_shapes(corpus_of("x", "", entries, shapes.__getitem__), 2048)
    assert packing.shapes.ids.tolist() == [str(k) for k in range(6)]
    assert packing.near == {"test/c": 1, "val/d": 1} and packing.dropped == {}
