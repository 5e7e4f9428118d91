"""Carving: the ceiling with true views, closed whatever is shown, votes against views that lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scigen.domains.image3d.carve import Carving, carve, grid_nodes, hull_field
from scigen.domains.image3d.render import render
from scigen.domains.image3d.rig import CUBE, ZERO123PLUS_12
from scigen.domains.image3d.views import Views
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.surface import sample_surface
from scigen.errors import NumericError
from scigen.io.shape import Mesh
from scigen.metrics.mesh_pairs import volume_overlap
from scigen.nn.poisson import HALF
from tests.domains.shapes.bodies import ball, box, is_closed, volume

SHAPES = ProceduralSet(1)
NAMES = [str(name) for name in SHAPES.ids]
FAST = Carving(48)


def turned(mesh: Mesh, yaw: float = 0.5) -> Mesh:
    """About the vertical, so that nothing lies along the rays."""
    c, s = np.cos(yaw), np.sin(yaw)
    return replace(mesh, vertices=(mesh.vertices @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])).astype(np.float32))


def iou(a: Mesh, b: Mesh) -> float:
    return volume_overlap((a.vertices, a.faces), (b.vertices, b.faces), 64).iou


@pytest.mark.parametrize("name", ["chair", "mug"])
def test_true_views_give_the_shape_back(name: str) -> None:
    """On columns that share nothing with the grid or the pixels."""
    mesh = turned(SHAPES.mesh(NAMES.index(f"{name}-000000")))
    found = carve(render(mesh, CUBE, 48), Carving(80))
    assert iou(found, mesh) > 0.88 and is_closed(found) and volume(found) > 0


@pytest.mark.slow
def test_the_ceiling_over_every_family() -> None:
    """One held-out shape of each; a hollow vase, whose inside no camera sees, is the lowest."""
    shapes = ProceduralSet(30)
    held_out = [int(np.flatnonzero((shapes.category == f) & (shapes.split == 2))[0]) for f in range(19)]
    meshes = [turned(shapes.mesh(k)) for k in held_out]
    found = [carve(render(mesh, CUBE, 48)) for mesh in meshes]
    ious = np.array([iou(a, b) for a, b in zip(found, meshes)])
    assert all(is_closed(mesh) for mesh in found)
    assert ious.mean() > 0.87 and np.median(ious) > 0.92 and np.sort(ious)[1] > 0.65


def test_a_ball_has_its_volume() -> None:
    found = carve(render(ball(0.4, (0.03, -0.02, 0.05)), CUBE, 48), FAST)
    assert volume(found) == pytest.approx(volume(ball(0.4)), rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(found.vertices - [0.03, -0.02, 0.05], axis=1), 0.4, atol=0.012)


def test_plates_thinner_than_a_pixel_stay() -> None:
    plate = turned(box((0.35, 0.006, 0.3), (0, 0.021, 0)))
    found = carve(render(plate, CUBE, 48), Carving(96))
    assert iou(found, plate) > 0.7


def test_without_normals_depth_still_carves() -> None:
    mesh = turned(box((0.3, 0.2, 0.25)))
    views = render(mesh, CUBE, 48)
    assert iou(carve(replace(views, normal=None), FAST), mesh) > 0.85
    assert iou(carve(render(mesh, ZERO123PLUS_12, 48), FAST), mesh) > 0.8


def test_a_second_opinion_survives_a_view_that_lies() -> None:
    mesh = turned(box((0.3, 0.25, 0.3)))
    views = render(mesh, CUBE, 48)
    depth = views.depth.copy()
    depth[0] += 0.3 * (views.mask[0] > 0)  # the front is said to lie behind the middle
    lying = replace(views, depth=depth)
    alone, agreed = (carve(lying, replace(FAST, votes=k)) for k in (1, 2))
    assert is_closed(alone) and is_closed(agreed)
    assert iou(agreed, mesh) > iou(alone, mesh) + 0.2 and iou(agreed, mesh) > 0.75


def test_noise_leaves_a_closed_surface() -> None:
    rng = np.random.default_rng(0)
    views = render(ball(0.4), CUBE, 32)
    noisy = replace(
        views,
        mask=np.clip(views.mask + 0.3 * rng.normal(size=views.mask.shape), 0, 1).astype(np.float32),
        depth=views.depth + 0.05 * rng.normal(size=views.depth.shape).astype(np.float32),
    )
    assert is_closed(carve(noisy, replace(FAST, votes=2, slack=0.0, blur=1.0)))


def test_the_hull_holds_the_shape() -> None:
    mesh = turned(SHAPES.mesh(NAMES.index("mug-000000")))
    views = render(mesh, CUBE, 48)
    field, nodes = hull_field(views, 64).reshape(-1), grid_nodes(64)
    points = sample_surface(mesh, 300, np.random.default_rng(0))[0].points
    at = np.rint((points / HALF + 1) * 32).astype(int)
    assert field.reshape(64, 64, 64)[tuple(at.T)].max() < 0.03
    cavity = np.abs(nodes[:, [0, 2]]).max(1) < 0.02
    assert (field[cavity] < 0).any(), "silhouettes do not see into a mug"


def test_what_cannot_be_carved() -> None:
    views = render(ball(0.4, rings=8), CUBE, 16)
    with pytest.raises(ValueError, match="no depth|have none"):
        carve(Views(CUBE, views.mask))
    with pytest.raises(ValueError, match="7 of 6"):
        carve(views, Carving(64, votes=7))
    with pytest.raises(ValueError, match="33 nodes"):
        Carving(33)
    with pytest.raises(NumericError, match="nothing standing"):
        carve(replace(views, mask=0 * views.mask), FAST)
