"""Area-uniform samples of a surface: counts, moments, planes and normals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from scigen.domains.shapes.surface import sample_surface, surface_area
from scigen.io.shape import Mesh


def box(x: float, y: float, z: float) -> Mesh:
    """A closed box with a corner at the origin, twelve triangles seen counter-clockwise from outside."""
    corners = np.array([[i, j, k] for i in (0, x) for j in (0, y) for k in (0, z)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [(q[0], q[i], q[i + 1]) for q in quads for i in (1, 2)]
    return Mesh(corners, np.array(faces, np.int32), np.repeat(np.arange(6, dtype=np.int16), 2))


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_faces_are_drawn_by_their_area() -> None:
    mesh, n = box(1, 2, 5), 20_000
    _, face = sample_surface(mesh, n, rng())
    count = np.bincount(mesh.part[face], minlength=6)
    expected = n * np.array([10, 10, 5, 5, 2, 2]) / 34
    assert ((count - expected) ** 2 / expected).sum() < chi2.ppf(0.999, 5)


def test_a_triangle_is_filled_evenly() -> None:
    # In the triangle (0,0) (1,0) (0,1) the share with x < q is 1 - (1 - q)^2, and likewise for y and for 1 - x - y.
    mesh = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32), np.array([[0, 1, 2]], np.int32))
    x, y, z = sample_surface(mesh, 20_000, rng())[0].points.T
    for share in (x, y, 1 - x - y):
        assert kstest(share, lambda q: 1 - (1 - q) ** 2).pvalue > 1e-3
    assert (z == 0).all()


def test_points_lie_on_their_face_and_normals_point_outward() -> None:
    mesh = box(1, 2, 5)
    cloud, face = sample_surface(mesh, 500, rng())
    corner = mesh.vertices[mesh.faces[face, 0]]
    assert np.abs(((cloud.points - corner) * cloud.normals).sum(1)).max() < 1e-6
    assert np.abs(np.linalg.norm(cloud.normals, axis=1) - 1).max() < 1e-6
    assert (((cloud.points - [0.5, 1, 2.5]) * cloud.normals).sum(1) > 0).all()
    assert cloud.points.dtype == cloud.normals.dtype == np.float32


def test_the_generator_decides() -> None:
    mesh = box(1, 1, 1)
    first, again, other = (sample_surface(mesh, 64, g)[0].points for g in (rng(), rng(), np.random.default_rng(6)))
    assert (first == again).all() and (first != other).any()
    assert len(sample_surface(mesh, 0, rng())[0]) == 0


def test_faces_without_area_are_never_drawn() -> None:
    flat = box(1, 1, 1)
    needle = np.array([[0, 0, 1], [0, 0, 0]], np.int32)
    mesh = Mesh(flat.vertices, np.concatenate([needle, flat.faces, needle]))
    cloud, face = sample_surface(mesh, 2000, rng())
    assert face.min() >= 2 and face.max() < 14
    assert np.isfinite(cloud.normals).all()


@pytest.mark.parametrize("faces", [[], [[0, 0, 1]]])
def test_a_mesh_without_area_is_refused(faces: list[list[int]]) -> None:
    mesh = Mesh(np.eye(3, dtype=np.float32), np.array(faces, np.int32).reshape(-1, 3))
    with pytest.raises(ValueError, match="area 0; points need a surface"):
        sample_surface(mesh, 3, rng())


def test_wild_input_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 points"):
        sample_surface(box(1, 1, 1), -1, rng())
    broken = Mesh(np.full((3, 3), np.nan, np.float32), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(ValueError, match="area nan"):
        sample_surface(broken, 3, rng())


def test_a_sample_far_from_the_origin_still_lies_on_the_surface():
    far = box(1, 1, 1)
    far = Mesh(far.vertices.astype(np.float64) + 4_649_776.123, far.faces)
    cloud, face = sample_surface(far, 500, rng())
    corner = far.vertices[far.faces[face, 0]]
    assert np.abs(((cloud.points - corner) * cloud.normals).sum(1)).max() < 1e-6  # single precision would miss by 0.25
    assert surface_area(far) == pytest.approx(6)
