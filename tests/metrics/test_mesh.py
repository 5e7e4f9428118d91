"""What is wrong with a mesh and what is not: small bodies whose anatomy is known."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.io.shape import Mesh
from scigen.metrics.box_tree import overlapping_pairs
from scigen.metrics.mesh import Anatomy, examine
from scigen.metrics.self_intersection import crossing_pairs, self_intersections
from tests.domains.shapes.bodies import ball, box, joined


def look(mesh: Mesh) -> Anatomy:
    return examine(mesh.vertices, mesh.faces)


def torus(sides: int = 24, ring: float = 0.35, tube: float = 0.12) -> Mesh:
    a, b = np.meshgrid(*[np.arange(sides) * 2 * np.pi / sides] * 2, indexing="ij")
    out = ring + tube * np.cos(b)
    vertices = np.stack([out * np.cos(a), tube * np.sin(b), -out * np.sin(a)], -1).reshape(-1, 3)
    i, j = (x.ravel() for x in np.meshgrid(*[np.arange(sides)] * 2, indexing="ij"))
    k, l = (i + 1) % sides, (j + 1) % sides
    p, q, r, s = i * sides + j, k * sides + j, k * sides + l, i * sides + l
    return Mesh(vertices, np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)]).astype(np.int32))


def moebius(steps: int = 24) -> Mesh:
    """A strip with half a turn, its ends joined."""
    t = np.arange(steps) * 2 * np.pi / steps
    edge = [np.stack([(1 + w * np.cos(t / 2)) * np.cos(t), (1 + w * np.cos(t / 2)) * np.sin(t), w * np.sin(t / 2)], 1)
            for w in (-0.3, 0.3)]  # fmt: skip
    here = np.arange(steps)
    low, high = here, steps + here
    following, above = np.roll(low, -1), np.roll(high, -1)
    following[-1], above[-1] = high[0], low[0]
    faces = np.concatenate([np.stack([low, following, above], 1), np.stack([low, above, high], 1)])
    return Mesh(np.concatenate(edge), faces.astype(np.int32))


@pytest.mark.parametrize(
    ("mesh", "components", "genus", "volume", "area"),
    [
        (box(), 1, 0, 1.0, 6.0),
        (joined(box(), box(center=(3, 0, 0))), 2, 0, 2.0, 12.0),
        (torus(), 1, 1, None, None),
        (joined(torus(), box(center=(3, 0, 0)), torus(30)), 3, 2, None, None),
        (ball(rings=12), 1, 0, None, None),
    ],
)
def test_sound_solids(mesh: Mesh, components: int, genus: int, volume: float | None, area: float | None) -> None:
    a = look(mesh)
    assert a.watertight and a.oriented and a.manifold and a.solid and a.open_edges == 0
    assert (a.components, a.genus) == (components, genus)
    assert a.volume > 0 and (volume is None or a.volume == pytest.approx(volume))
    assert area is None or a.area == pytest.approx(area)


def test_a_torus_has_the_volume_and_area_of_pappus() -> None:
    a = look(torus(96))
    assert a.volume == pytest.approx(2 * np.pi**2 * 0.35 * 0.12**2, rel=5e-3)
    assert a.area == pytest.approx(4 * np.pi**2 * 0.35 * 0.12, rel=5e-3)
    assert a.intersections == 0


def test_a_hole() -> None:
    a = look(Mesh(box().vertices, box().faces[1:]))
    assert not a.watertight and not a.solid and a.open_edges == 3
    assert a.oriented and a.manifold  # a manifold with a border
    assert a.genus is None and a.volume is None and a.area == pytest.approx(5.5)


def test_a_flipped_face() -> None:
    faces = box().faces.copy()
    faces[0] = faces[0, ::-1]
    a = look(Mesh(box().vertices, faces))
    assert a.watertight and a.manifold and not a.oriented and not a.solid
    assert a.genus is None and a.volume is None


def test_inside_out() -> None:
    a = look(Mesh(box().vertices, box().faces[:, ::-1]))
    assert a.watertight and a.oriented and a.manifold and a.volume == pytest.approx(-1)


def test_split_corners_are_one_vertex() -> None:
    """As files with a normal for each corner keep them."""
    whole = box()
    a = look(Mesh(whole.vertices[whole.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3)))
    assert a == look(whole)


def test_equal_places_stay_apart_where_the_indexing_is_closed() -> None:
    """Two cubes that touch along an edge, each closed by itself, are two solids; sharing its vertices they are none."""
    apart = joined(box(), box(center=(1, 1, 0)))
    assert look(apart).manifold and look(apart).components == 2
    places, index = np.unique(apart.vertices, axis=0, return_inverse=True)
    shared = Mesh(places, index.reshape(-1)[apart.faces])
    assert len(places) == 14
    a = look(shared)
    assert a.watertight and a.oriented and not a.manifold and a.components == 1 and a.genus is None
    assert a.intersections == 0


def test_two_cubes_that_share_one_vertex_are_no_manifold() -> None:
    both = joined(box(), box(center=(1, 1, 1)))
    places, index = np.unique(both.vertices, axis=0, return_inverse=True)
    a = look(Mesh(places, index.reshape(-1)[both.faces]))
    assert len(places) == 15 and a.watertight and a.oriented and not a.manifold


def test_a_moebius_strip_has_one_side() -> None:
    a = look(moebius())
    assert a.manifold and not a.watertight and not a.oriented and not a.solid and a.components == 1
    assert a.intersections == 0


def test_a_membrane_inside_is_seen() -> None:
    """A third face at an edge: not the border of anything."""
    cube = box()
    a = look(Mesh(cube.vertices, np.concatenate([cube.faces, [[0, 3, 7]]])))
    assert not a.watertight and not a.manifold and not a.solid


def test_a_bow_tie_runs_through_itself() -> None:
    """A prism over a quadrilateral whose sides cross: closed and manifold, and no solid to print."""
    low = np.array([[0, 0, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1]], float)  # 0-1 and 2-3 cross
    vertices = np.concatenate([low, low + [0, 1, 0]])
    sides = [f for k in range(4) for f in ((k, k + 4, (k + 1) % 4 + 4), (k, (k + 1) % 4 + 4, (k + 1) % 4))]
    faces = np.array([*sides, (0, 1, 2), (0, 2, 3), (4, 6, 5), (4, 7, 6)], np.int32)
    a = look(Mesh(vertices, faces))
    assert a.watertight and a.manifold
    assert a.intersections >= 2 and a.intersecting >= 4 / 12


def test_overlapping_and_stacked_boxes() -> None:
    assert look(joined(box(), box(center=(0.3, 0.4, 0.2)))).intersections > 0
    assert look(joined(box(), box(center=(0.5, 0.5, 0.5)))).intersections > 0  # edges through diagonals
    assert look(joined(box(), box((0.2, 0.2, 0.2)))).intersections == 0  # one in the other
    assert look(joined(box(), box(center=(1.1, 0, 0)))).intersections == 0
    stacked = look(joined(box(), box(center=(0, 1, 0))))
    assert stacked.intersections == 2 and stacked.intersecting == 4 / 24  # two pairs of equal triangles, face on face


def test_degenerate_faces_and_slivers() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0, 0], [0.5, 1e-3, 0], [2, 0, 0]], float)
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4], [1, 1, 2], [0, 5, 2]])
    a = look(Mesh(vertices, faces))
    assert a.degenerate == 2 / 5 and a.sliver == 1 / 5


def test_scale_and_place_change_no_verdict() -> None:
    whole = joined(torus(), box(center=(0.35, 0, 0), half=(0.2, 0.2, 0.2)))
    one, other = look(whole), look(Mesh(1e4 * whole.vertices.astype(float) + 3e5, whole.faces))
    assert other.volume == pytest.approx(1e12 * one.volume, rel=1e-6)
    assert (one.intersections, one.genus, one.sliver) == (other.intersections, other.genus, other.sliver)
    assert one.intersections > 0


def brute(low: np.ndarray, high: np.ndarray) -> set[tuple[int, int]]:
    meet = ((low[:, None] <= high) & (low <= high[:, None])).all(-1)
    return {(i, j) for i, j in np.argwhere(meet).tolist() if i < j}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 257])
def test_the_tree_finds_every_pair_once(numpy_rng: np.random.Generator, count: int) -> None:
    low = numpy_rng.random((count, 3))
    high = low + numpy_rng.random((count, 3)) * numpy_rng.choice([0.0, 0.05, 0.6], (count, 1))
    found = [tuple(p) for batch in overlapping_pairs(low, high) for p in batch.tolist()]
    assert len(found) == len(set(found)) and set(found) == brute(low, high)


def meets(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two triangles meet: each edge against the other triangle, by solving for the point."""
    for one, other in ((a, b), (b, a)):
        for k in range(3):
            p, q = one[k], one[(k + 1) % 3]
            m = np.stack([other[1] - other[0], other[2] - other[0], p - q], 1)
            u, v, t = np.linalg.solve(m, p - other[0])
            if u >= 0 and v >= 0 and u + v <= 1 and 0 <= t <= 1:
                return True
    return False


def test_crossings_agree_with_solving_for_the_point(numpy_rng: np.random.Generator) -> None:
    a, b = numpy_rng.standard_normal((2, 300, 3, 3))
    expected = np.array([meets(p, q) for p, q in zip(a, b)])
    assert 50 < expected.sum() < 250
    assert np.array_equal(crossing_pairs(a, b), expected) and np.array_equal(crossing_pairs(b, a), expected)


def test_coplanar_triangles_overlap_by_area(numpy_rng: np.random.Generator) -> None:
    """In one tilted plane: shared edges and corners are no overlap, folds and copies are."""
    first, neighbour = [[0, 0], [1, 0], [0, 1]], [[1, 0], [1, 1], [0, 1]]
    corner, fold, inner = [[1, 0], [2, 0], [2, -1]], [[0, 0], [1, 0], [0.2, 0.3]], [[0.1, 0.1], [0.2, 0.1], [0.1, 0.2]]
    flat = np.array([first, neighbour, corner, fold, inner, [[3, 3], [4, 3], [3, 4]]])
    basis = np.linalg.qr(numpy_rng.standard_normal((3, 3)))[0]
    x = flat @ basis[:2] + 0.3
    pairs = {tuple(p) for p in self_intersections(x).tolist()}
    assert pairs == {(0, 3), (0, 4), (3, 4)}


def test_refusals() -> None:
    with pytest.raises(ValueError, match="0 faces"):
        examine(np.zeros((3, 3)), np.zeros((0, 3), int))
    with pytest.raises(ValueError, match="1 faces over 3 vertices"):
        examine(np.zeros((3, 3)), np.array([[0, 1, 3]]))
    with pytest.raises(ValueError, match="NaN"):
        examine(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))


def test_only_degenerate_faces_are_an_answer_too() -> None:
    a = examine(np.zeros((3, 3)), np.array([[0, 1, 2], [0, 0, 1]]))
    assert not a.watertight and not a.solid and a.degenerate == 1 and a.intersections == 0 and a.area == 0
