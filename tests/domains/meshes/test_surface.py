"""Oriented points to closed meshes: solids of known volume and genus, places and units, estimated normals, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.meshes.normals import oriented
from scigen.domains.meshes.surface import closed_surface, extract, point_areas, surface_of
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.surface import sample_surface
from scigen.errors import NumericError
from scigen.io.shape import Cloud, Mesh
from scigen.metrics.chamfer import chamfer_l1, indexed, match
from scigen.metrics.floor import chamfer_l1_floor
from scigen.metrics.mesh import Anatomy, examine
from scigen.nn.poisson import HALF
from tests.domains.shapes.bodies import ball, box, joined


def look(mesh: Mesh) -> Anatomy:
    return examine(mesh.vertices, mesh.faces)


def sphere(rng: np.random.Generator, n: int, radius: float = 0.5) -> Cloud:
    x = rng.standard_normal((n, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Cloud(radius * x, x.astype(np.float32))


def ring(rng: np.random.Generator, n: int, noise: float = 0.0) -> Cloud:
    """Points of a torus of radii 0.35 and 0.12, even enough; noisy in place and normal."""
    a, b = rng.uniform(0, 2 * np.pi, (2, n))
    normal = np.stack([np.cos(b) * np.cos(a), np.sin(b), np.cos(b) * np.sin(a)], 1)
    axis = np.stack([np.cos(a), np.zeros(n), np.sin(a)], 1)
    points = 0.35 * axis + 0.12 * normal + noise * rng.standard_normal((n, 3))
    normal = normal + 10 * noise * rng.standard_normal((n, 3))
    return Cloud(points, (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32))


@pytest.mark.parametrize(("n", "noise"), [(2048, 0.0), (2048, 0.01), (512, 0.01)])
def test_a_torus_is_closed_and_has_its_handle(numpy_rng: np.random.Generator, n: int, noise: float) -> None:
    a = look(closed_surface(ring(numpy_rng, n, noise)))
    assert a.watertight and a.oriented and a.manifold and a.solid and a.intersections == 0
    assert (a.components, a.genus) == (1, 1)
    assert a.volume == pytest.approx(2 * np.pi**2 * 0.35 * 0.12**2, rel=0.03 if noise == 0 else 0.25)


def test_a_sphere_in_its_own_units_and_place(numpy_rng: np.random.Generator) -> None:
    middle = np.array([1e6, -2e5, 30.0])
    cloud = sphere(numpy_rng, 4000, 250.0)
    mesh = closed_surface(Cloud(cloud.points + middle, cloud.normals), size=32)
    radius = np.linalg.norm(mesh.vertices - middle, axis=1)
    assert mesh.vertices.dtype == np.float64
    assert abs(radius.mean() - 250) < 0.5 and radius.std() < 2  # a cell is 17.6
    assert look(mesh).volume == pytest.approx(4 / 3 * np.pi * 250**3, rel=0.01)


def test_normals_may_all_point_inwards(numpy_rng: np.random.Generator) -> None:
    cloud = ring(numpy_rng, 2048)
    out, into = closed_surface(cloud, 32), closed_surface(Cloud(cloud.points, -cloud.normals), 32)
    assert look(into).volume == pytest.approx(look(out).volume, rel=1e-4) and look(into).volume > 0


@pytest.mark.parametrize(("name", "genus"), [("mug", 1), ("bolt", 0), ("hammer", 0), ("bracket", 5)])
def test_procedural_families(numpy_rng: np.random.Generator, name: str, genus: int) -> None:
    """Seed 3's first object of each: the genus is that of the mesh the points came from."""
    shapes = ProceduralSet(1, seed=3, families=[f for f in FAMILIES if f.name == name])
    true, cloud = shapes.mesh(0), shapes.cloud(0, 8192, numpy_rng)
    mesh = closed_surface(cloud)
    a, expected = look(mesh), look(true)
    assert a.watertight and a.oriented and a.manifold and a.solid and a.components == 1
    assert expected.genus == genus == a.genus
    assert a.volume == pytest.approx(expected.volume, rel=0.02)
    made, other = (indexed(sample_surface(m, 8192, numpy_rng)[0].points) for m in (mesh, true))
    assert chamfer_l1(match(made, other)) < 1.35 * chamfer_l1_floor(expected.area, 8192)


def test_small_pieces_go_and_large_ones_stay(numpy_rng: np.random.Generator) -> None:
    crumb, twin = ball(0.07, (0.42, 0.4, 0)), ball(0.3, (0.8, 0, 0))
    cloud = sample_surface(joined(ball(0.3), crumb), 6000, numpy_rng)[0]
    found = surface_of(cloud, 64)
    assert look(found.mesh).components == 1 and found.pieces == 2
    assert found.dropped == pytest.approx(0.07**3 / (0.3**3 + 0.07**3), rel=0.2)
    cloud = sample_surface(joined(ball(0.3), twin), 6000, numpy_rng)[0]
    found = surface_of(cloud, 64)
    assert look(found.mesh).components == found.pieces == 2 and found.dropped == 0


def test_a_void_stays(numpy_rng: np.random.Generator) -> None:
    inner = ball(0.3)
    hollow = joined(ball(0.5), Mesh(inner.vertices, inner.faces[:, ::-1]))
    a = look(closed_surface(sample_surface(hollow, 6000, numpy_rng)[0], 32))
    assert a.components == 2 and a.genus == 0
    assert a.volume == pytest.approx(4 / 3 * np.pi * (0.5**3 - 0.3**3), rel=0.04)


def test_areas_add_up_whatever_the_density(numpy_rng: np.random.Generator) -> None:
    """A sphere with three quarters of its points on one half."""
    cloud = sphere(numpy_rng, 20_000).points
    keep = (cloud[:, 1] > 0) | (numpy_rng.random(20_000) < 1 / 3)
    areas = point_areas(cloud[keep])
    for half in (cloud[keep][:, 1] > 0, cloud[keep][:, 1] < 0):
        assert areas[half].sum() == pytest.approx(np.pi / 2, rel=0.03)


def test_the_zero_level_of_a_ball_function() -> None:
    node = HALF * (2 * np.arange(32) / 32 - 1)
    radius = np.sqrt(node[:, None, None] ** 2 + node[:, None] ** 2 + node**2)
    mesh = extract((radius - 0.4).astype(np.float32)).mesh
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.4, abs=2e-3)
    assert look(mesh).genus == 0 and look(mesh).volume > 0


def test_levels_at_the_nodes_leave_no_degenerate_face() -> None:
    """|x| + |y| + |z| is exactly the level on whole diagonals of nodes."""
    index = np.abs(np.arange(32) - 16.0)
    a = look(extract(index[:, None, None] + index[:, None] + index - 10).mesh)
    assert a.solid and a.manifold and a.degenerate == 0


def test_a_surface_that_runs_out_of_the_grid_is_closed_there() -> None:
    node = np.arange(16) - 7.5
    bar = np.maximum(np.abs(node)[:, None, None], np.abs(node)[None, :, None]) - 3 + 0 * node
    a = look(extract(bar).mesh)
    assert a.watertight and a.genus == 0 and a.volume > 0


@pytest.mark.parametrize("points", ["sphere", "box", "plate"])
def test_estimated_normals_point_outwards(numpy_rng: np.random.Generator, points: str) -> None:
    solids = {"sphere": ball(), "box": box(), "plate": box((0.5, 0.02, 0.5))}
    cloud = sample_surface(solids[points], 4096, numpy_rng)[0]
    found = oriented(Cloud(cloud.points + 7, None))
    assert found.points is not None and found.normals is not None and found.normals.dtype == np.float32
    assert np.linalg.norm(found.normals, axis=1) == pytest.approx(1, abs=1e-5)
    agreement = (found.normals * cloud.normals).sum(1)
    assert (agreement > 0).mean() > 0.985 and np.median(agreement) > 0.98


def test_estimated_normals_turn_with_the_points_and_give_the_surface(numpy_rng: np.random.Generator) -> None:
    cloud = ring(numpy_rng, 2048)
    turn = np.linalg.qr(numpy_rng.standard_normal((3, 3)))[0]
    one, other = oriented(Cloud(cloud.points)), oriented(Cloud(cloud.points @ turn.T))
    assert np.allclose(other.normals, one.normals @ turn.T, atol=1e-3)
    assert look(closed_surface(one, 32)).genus == 1


def test_refusals(numpy_rng: np.random.Generator) -> None:
    cloud = sphere(numpy_rng, 100)
    with pytest.raises(ValueError, match="without normals has no inside; estimate them by `oriented`"):
        closed_surface(Cloud(cloud.points))
    with pytest.raises(ValueError, match="8 points tell no area"):
        closed_surface(Cloud(cloud.points[:8], cloud.normals[:8]))
    with pytest.raises(ValueError, match="extent"):
        closed_surface(Cloud(np.ones((20, 3)), cloud.normals[:20]))
    with pytest.raises(ValueError, match="has 8 copies or more"):
        point_areas(np.repeat(cloud.points[:3], 10, 0))
    with pytest.raises(ValueError, match="6 points and planes through 8 neighbours"):
        oriented(Cloud(cloud.points[:6]))
    for field in (np.ones((8, 8, 8)), np.full((8, 8, 8), np.nan)):
        with pytest.raises(NumericError, match="no zero level"):
            extract(field)


def test_what_hangs_near_is_joined_and_what_does_not_goes(numpy_rng: np.random.Generator) -> None:
    """A ball with two legs a few cells under it, one of which carries a foot; a fourth ball far off, and a crumb."""
    legs = [box((0.03, 0.1, 0.03), (x, -0.36, 0.0)) for x in (-0.1, 0.1)]
    foot = box((0.07, 0.03, 0.07), (0.1, -0.52, 0.0))
    far, crumb = ball(0.07, (0.0, 0.5, 0.0), 12), ball(0.02, (0.29, 0.0, 0.0), 8)
    cloud = sample_surface(joined(ball(0.22), *legs, foot, far, crumb), 18_000, numpy_rng)[0]
    apart, found = surface_of(cloud, 96, 1.0), surface_of(cloud, 96, 1.0, one=True)
    assert look(apart.mesh).components == 3 and apart.joined == 0, "the legs are 1.6 % of the ball"
    a = look(found.mesh)
    assert a.components == 1 and a.watertight and a.manifold and a.solid and a.intersections == 0 and a.genus == 0
    assert (found.pieces, found.joined) == (6, 3)
    lost = (0.07**3 + 0.02**3) * 4 / 3 * np.pi
    whole = 0.22**3 * 4 / 3 * np.pi + 2 * 8 * 0.03**2 * 0.1 + 8 * 0.07**2 * 0.03 + lost
    assert found.dropped == pytest.approx(lost / whole, rel=0.15)
    assert a.volume == pytest.approx(whole - lost, rel=0.05)


def test_one_piece_has_no_void(numpy_rng: np.random.Generator) -> None:
    inner = ball(0.2)
    hollow = joined(ball(0.5), Mesh(inner.vertices, inner.faces[:, ::-1]))
    found = surface_of(sample_surface(hollow, 6000, numpy_rng)[0], 32, one=True)
    assert look(found.mesh).components == 1 and (found.pieces, found.joined) == (2, 0)
    assert found.dropped == pytest.approx(0.2**3 / (0.5**3 + 0.2**3), rel=0.1)
