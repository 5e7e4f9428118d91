"""The virtual depth camera: first hits against brute force and closed forms, and the faults it is told to have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scigen.domains.shapes import rays
from scigen.domains.shapes.camera import Camera, View, _among_jumps, scan, view_of
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.rays import Pose, draw_mesh, trace_mesh
from scigen.domains.shapes.splat import splat_cloud
from scigen.domains.shapes.surface import sample_surface
from scigen.io.shape import Cloud, Mesh
from tests.domains.shapes.bodies import ball, box, joined

PERFECT = Camera(noise=0.0, grazing=90.0, dropout=0.0, edges=0.0, holes=0)
# Three bodies of which the first hides parts of the others from most sides.
SCENE = joined(
    box((0.2, 0.05, 0.25), (0, 0.1, 0)), ball(0.12, (0, -0.15, 0.05), 10), box((0.02, 0.3, 0.02), (0.2, 0, 0))
)
DIRECTIONS = ((1, 0.6, 1), (-0.3, -1, 0.2), (0, 1, 0), (0.1, 0.0, -1))


def brute_force(mesh: Mesh, pose: Pose) -> np.ndarray:
    """Distance of the nearest intersection of every ray, inf where there is none (Moeller and Trumbore)."""
    a, b, c = np.moveaxis(mesh.vertices.astype(float)[mesh.faces], 1, 0)
    directions = pose.rays()[:, None]
    p = np.cross(directions, c - a)
    det = (p * (b - a)).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (p * (pose.eye - a)).sum(-1) / det
        q = np.cross(pose.eye - a, b - a)
        v = (directions * q).sum(-1) / det
        t = ((c - a) * q).sum(-1) / det
        hit = (np.abs(det) > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return np.where(hit, t, np.inf).min(1)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("see", [trace_mesh, draw_mesh])
def test_first_hits_are_those_of_brute_force(see, direction) -> None:
    pose = Camera(pixels=40).pose(np.array(direction, float))
    hits, truth = see(SCENE, pose), brute_force(SCENE, pose)
    found = np.full(40**2, np.inf)
    found[hits.pixel] = hits.distance
    differ = ~np.isclose(found, truth, rtol=0, atol=1e-5, equal_nan=True) & (np.isfinite(found) | np.isfinite(truth))
    assert np.isfinite(truth).sum() > 60 and differ.mean() < 0.002, "only pixels on an edge may round elsewhere"


def test_without_embree_the_same_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    pose = PERFECT.pose(np.array([1, 0.4, 0.2]))
    ours = draw_mesh(SCENE, pose)
    monkeypatch.setattr(rays, "find_spec", lambda name: None)
    fallback = trace_mesh(SCENE, pose)
    assert np.array_equal(fallback.pixel, ours.pixel) and np.array_equal(fallback.points, ours.points)
    monkeypatch.setattr(rays, "_CANDIDATES", 50)  # in many small pieces
    assert np.array_equal(draw_mesh(SCENE, pose).distance, ours.distance)


def test_a_ball_is_seen_as_a_cap() -> None:
    pose = PERFECT.pose(np.array([0.2, 0.5, 1.0]))
    hits = trace_mesh(ball(0.4, rings=60), pose)
    radius = np.linalg.norm(hits.points, axis=1)
    assert radius.min() > 0.398 and radius.max() < 0.4001
    # From the distance d a ball of radius r shows the cap p.e >= r^2 / d, e towards the eye.
    height = hits.points @ (pose.eye / PERFECT.distance)
    assert height.min() == pytest.approx(0.4**2 / PERFECT.distance, abs=0.02)
    # The share of the picture that its silhouette covers: tan of the angle asin(r / d), against the half width.
    share = np.pi / 4 * (np.tan(np.arcsin(0.4 / 1.5)) / pose.slope) ** 2
    assert len(hits.pixel) / PERFECT.pixels**2 == pytest.approx(share, rel=0.02)
    assert ((hits.normals * (hits.points - pose.eye)).sum(1) < 0).all()
    assert (hits.normals * hits.points).sum(1).min() > 0.4 * 0.99


def test_projecting_and_shooting_agree() -> None:
    pose = Camera(pixels=17).pose(np.array([0.3, -0.9, 0.4]))
    xy, z = pose.project(pose.eye + 1.3 * pose.rays())
    row, column = np.divmod(np.arange(17**2), 17)
    np.testing.assert_allclose(xy, np.stack([column, row], -1), atol=1e-9)
    np.testing.assert_allclose(pose.axes @ pose.axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose.axes) == pytest.approx(-1), "right, up, forward: the eye looks along -z of a right hand"
    assert pose.axes[1, 1] >= 0 and (z > 0).all()


def test_the_unit_ball_fills_the_picture_and_stays_inside() -> None:
    hits = trace_mesh(ball(0.5, rings=60), PERFECT.pose(np.array([1.0, 0.2, 0.3])))
    row, column = np.divmod(hits.pixel, PERFECT.pixels)
    for lines in (row, column):
        assert lines.min() <= 1 and lines.max() >= PERFECT.pixels - 2
    assert len(hits.pixel) / PERFECT.pixels**2 == pytest.approx(np.pi / 4, rel=0.02)


def line_of_sight(mesh: Mesh, points: np.ndarray, pose: Pose) -> np.ndarray:
    """Which surface points no face hides, by brute force along the segment from the eye to just before the point."""
    a, b, c = np.moveaxis(mesh.vertices.astype(float)[mesh.faces], 1, 0)
    direction = (points - pose.eye)[:, None]
    p = np.cross(direction, c - a)
    det = (p * (b - a)).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (p * (pose.eye - a)).sum(-1) / det
        q = np.cross(pose.eye - a, b - a)
        v, t = (direction * q).sum(-1) / det, ((c - a) * q).sum(-1) / det
        blocked = (np.abs(det) > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < 1 - 2e-3)
    return ~blocked.any(1)


@pytest.mark.parametrize("oriented", [True, False])
def test_a_cloud_is_seen_as_its_mesh_is(oriented: bool, numpy_rng: np.random.Generator) -> None:
    scene = joined(box((0.2, 0.15, 0.15), (-0.1, -0.1, 0)), ball(0.2, (0.2, 0.1, 0.1), 10))
    cloud, _ = sample_surface(scene, 2500, numpy_rng)
    for direction in DIRECTIONS[:2]:
        pose = PERFECT.pose(np.array(direction, float))
        truth = line_of_sight(scene, cloud.points, pose)
        hits = splat_cloud(cloud if oriented else Cloud(cloud.points), pose)
        seen = np.isin(cloud.points.astype(float).view("V24").ravel(), hits.points.view("V24").ravel())
        # Rims are lost to the discs of the neighbouring face; without normals sides seen from their edge are too.
        assert (seen == truth).mean() > (0.92 if oriented else 0.83)
        assert (seen & ~truth).sum() < (0.06 if oriented else 0.18) * truth.sum()
        assert (hits.normals is not None) == oriented
        assert np.array_equal(np.rint(pose.project(hits.points)[0]) @ [1, pose.pixels], hits.pixel)


def test_splats_close_as_points_get_denser() -> None:
    pose = PERFECT.pose(np.array(DIRECTIONS[0], float))
    wrong = []
    for n in (600, 6000):
        cloud, _ = sample_surface(ball(0.5), n, np.random.default_rng(0))
        # A point of a ball is seen when p.e > r^2 / d, with e the direction of the eye.
        truth = cloud.points @ pose.eye / 1.5 > 0.25 / 1.5
        hits = splat_cloud(cloud, pose)
        wrong.append(abs(len(hits.pixel) / truth.sum() - 1))
    assert wrong[1] < 0.08 and wrong[1] < 0.7 * wrong[0]


def test_visible_tells_observed_from_missing(numpy_rng: np.random.Generator) -> None:
    cloud, _ = sample_surface(SCENE, 1500, numpy_rng)
    view = view_of(SCENE, numpy_rng, PERFECT)
    truth = line_of_sight(SCENE, cloud.points, view.pose)
    assert (view.visible(cloud.points) == truth).mean() > 0.9
    assert view.visible(view.cloud.points).mean() > 0.99 and isinstance(view, View)
    assert not view.visible(-2.0 * view.pose.eye[None] / np.linalg.norm(view.pose.eye)).any(), "behind everything"


def test_noise_grows_with_depth_and_slant() -> None:
    camera = replace(PERFECT, noise=0.004, pixels=160)
    errors, slants, depths = [], [], []
    for seed in range(3):
        clean = view_of(ball(0.5, rings=60), np.random.default_rng(seed), replace(camera, noise=0.0))
        noisy = view_of(ball(0.5, rings=60), np.random.default_rng(seed), camera)
        shift = noisy.cloud.points.astype(float) - clean.cloud.points
        ray = clean.cloud.points - clean.pose.eye
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        along = (shift * ray).sum(1)
        np.testing.assert_allclose(shift - along[:, None] * ray, 0, atol=1e-5)
        errors.append(along)
        slants.append(np.arccos(np.clip(-(clean.cloud.normals * ray).sum(1), 0, 1)))
        depths.append((clean.cloud.points - clean.pose.eye) @ clean.pose.axes[2])
    error, slant, depth = map(np.concatenate, (errors, slants, depths))
    for low, high in ((0.0, 0.3), (0.6, 0.8), (1.1, 1.2)):
        rows = (slant >= low) & (slant < high)
        q = slant[rows]
        sigma = 0.004 * (depth[rows] / 1.5) ** 2 * (1 + (q / (np.pi / 2 - q)) ** 2 / 12)
        assert np.std(error[rows] / sigma) == pytest.approx(1, abs=0.06) and rows.sum() > 1000


def test_each_fault_costs_its_pixels() -> None:
    def kept(**faults) -> int:
        return len(view_of(SCENE, np.random.default_rng(5), replace(PERFECT, **faults)).cloud)

    whole = kept()
    assert kept(dropout=0.3) == pytest.approx(0.7 * whole, rel=0.08)
    assert kept(edges=1.0) < kept(edges=0.5) < whole
    assert kept(grazing=60.0) < kept(grazing=80.0) <= whole
    assert kept(holes=8, hole=0.1) < whole


def test_edges_go_where_depth_jumps() -> None:
    view = view_of(box((0.3, 0.3, 0.05)), np.random.default_rng(2), replace(PERFECT, edges=1.0))
    row, column = np.divmod(view.hits.pixel, PERFECT.pixels)
    inner = np.zeros((PERFECT.pixels + 2,) * 2, bool)
    inner[row + 1, column + 1] = True
    surrounded = inner[1:-1, :-2] & inner[1:-1, 2:] & inner[:-2, 1:-1] & inner[2:, 1:-1]
    assert len(view.cloud) <= surrounded[row, column].sum(), "a convex body loses its outline"


def test_scans_have_n_points_and_a_seed() -> None:
    for n in (100, 2048, 9000):
        cloud = scan(SCENE, shape_rng(7, "a", 0), n)
        assert len(cloud) == n and cloud.points.dtype == np.float32 and cloud.normals.shape == (n, 3)
    again = scan(SCENE, shape_rng(7, "a", 0), 512)
    assert np.array_equal(again.points, scan(SCENE, shape_rng(7, "a", 0), 512).points)
    for other in (shape_rng(8, "a", 0), shape_rng(7, "b", 0), shape_rng(7, "a", 1)):
        assert not np.array_equal(again.points, scan(SCENE, other, 512).points)
    few = scan(SCENE, shape_rng(7, "a", 0), 9000)
    counts = np.unique(few.points, axis=0, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1, "repeated in whole rounds"


def test_viewpoints_cover_the_sphere() -> None:
    small = replace(PERFECT, pixels=12)
    eyes = np.array([view_of(ball(0.5, rings=8), shape_rng(0, "x", k), small).pose.eye for k in range(250)])
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=1), 1.5)
    np.testing.assert_allclose(eyes.mean(0) / 1.5, 0, atol=0.12)
    np.testing.assert_allclose(np.cov(eyes.T) / 1.5**2, np.eye(3) / 3, atol=0.08)


def test_a_cloud_can_be_scanned(numpy_rng: np.random.Generator) -> None:
    cloud, _ = sample_surface(ball(0.5), 4096, numpy_rng)
    partial = scan(cloud, numpy_rng, 1000, PERFECT)
    assert len(partial) == 1000 and np.isin(partial.points, cloud.points).all()
    assert scan(Cloud(cloud.points), numpy_rng, 500).normals is None


def test_a_cloud_loses_points_at_jumps_of_depth_only(numpy_rng: np.random.Generator) -> None:
    lossy = replace(PERFECT, edges=1.0)
    smooth, _ = sample_surface(ball(0.5), 4096, numpy_rng)
    kept = [len(view_of(smooth, np.random.default_rng(2), camera).cloud) for camera in (PERFECT, lossy)]
    assert kept[1] > 0.97 * kept[0], "a ball has no jumps, however few points show it"
    plates = joined(box((0.3, 0.3, 0.01), (0, 0, -0.2)), box((0.1, 0.1, 0.01), (0, 0, 0.2)))
    cloud, _ = sample_surface(plates, 8192, numpy_rng)
    pose = PERFECT.pose(np.array([0.2, 0.1, 1.0]))
    hits = splat_cloud(cloud, pose)
    lost = hits.points[_among_jumps(hits, pose)]
    assert 20 < len(lost) < 0.4 * len(hits.points)
    near = lost[lost[:, 2] > 0]
    assert (np.abs(near[:, :2]).max(1) > 0.05).mean() > 0.75, "the rim of the plate in front, and few leaks"


def test_what_cannot_be_seen_is_refused() -> None:
    far = ball(0.1, (0, 0, 50))
    with pytest.raises(ValueError, match="unit frame"):
        scan(far, np.random.default_rng(0))
    with pytest.raises(ValueError, match="outside"):
        Camera(distance=0.4)
