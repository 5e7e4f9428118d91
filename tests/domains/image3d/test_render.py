"""Views of meshes: closed forms, two ways of tracing that agree, light, and what cannot be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scigen.domains.image3d.light import Light
from scigen.domains.image3d.render import Look, draw, render
from scigen.domains.image3d.rig import CUBE, ZERO123PLUS_12, CameraRig, Viewpoint
from scigen.domains.image3d.views import Views
from scigen.domains.shapes import rays
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.io.shape import Mesh
from tests.domains.shapes.bodies import ball, box

SHAPES = ProceduralSet(1)
NAMES = [str(name) for name in SHAPES.ids]
NONE = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))


def test_a_sphere_is_seen_as_its_formula_says() -> None:
    views = render(ball(0.4, rings=60), CUBE, 40)
    at = 0.52 * ((2 * np.arange(40) + 1) / 40 - 1)
    square = 0.16 - at[:, None] ** 2 - at[None] ** 2
    inner = square > 0.03
    depth, height = 2 - np.sqrt(np.maximum(square, 0)), np.sqrt(np.maximum(square, 0)) / 0.4
    for v in range(6):
        assert np.array_equal(views.solid[v], square > 0) or (views.solid[v] != (square > 0)).sum() <= 8
        np.testing.assert_allclose(views.depth[v][inner], depth[inner], atol=2e-3)
        np.testing.assert_allclose(views.normal[v][..., 2][inner], height[inner], atol=0.04)
        np.testing.assert_allclose(views.normal[v][..., 0][inner], (at[None] / 0.4 + 0 * square)[inner], atol=0.04)
        np.testing.assert_allclose(views.normal[v][..., 1][inner], (-at[:, None] / 0.4 + 0 * square)[inner], atol=0.04)
    assert (views.depth[~(views.mask > 0)] == 2).all() and not views.normal[~(views.mask > 0)].any()
    length = np.linalg.norm(views.normal[views.mask > 0], axis=-1)
    np.testing.assert_allclose(length, 1, atol=1e-5)


def test_coverage_is_the_area() -> None:
    views = render(box((0.3, 0.2, 0.25)), CUBE, 31)
    areas = 4 * np.array([0.3 * 0.2, 0.25 * 0.2] * 2 + [0.3 * 0.25] * 2)
    np.testing.assert_allclose(views.mask.mean((1, 2)) * 1.04**2, areas, rtol=0.05)
    assert ((views.mask > 0) & (views.mask < 1)).any()


@pytest.mark.parametrize("rig", [CUBE, ZERO123PLUS_12], ids=["ortho", "persp"])
@pytest.mark.parametrize("name", ["chair", "mug"])
def test_without_embree_the_same_is_seen(rig: CameraRig, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("embreex")
    mesh = SHAPES.mesh(NAMES.index(f"{name}-000000"))
    ours = render(mesh, rig, 40, smooth=1)
    monkeypatch.setattr(rays, "find_spec", lambda package: None)
    theirs = render(mesh, rig, 40, smooth=1)
    differ = ours.mask != theirs.mask
    assert differ.sum() <= 3, "only rays on an edge may round elsewhere"
    both = (ours.mask > 0) & (theirs.mask > 0)
    off = np.abs(ours.depth - theirs.depth)[both]
    assert (off > 1e-4).mean() < 2e-3 and ours.mask.sum() > 500
    turned = np.abs(ours.normal - theirs.normal).max(-1)[both]
    assert (turned > 1e-3).mean() < 5e-3


def test_world_normals_point_out() -> None:
    views = render(ball(0.45, rings=40), ZERO123PLUS_12, 24, Viewpoint(33, 12), smooth=1)
    for v, pose in enumerate(ZERO123PLUS_12.poses(24, Viewpoint(33, 12))):
        seen = views.solid[v].reshape(-1)
        ray = pose.rays()[seen]
        forward = views.depth[v].reshape(-1)[seen] / (ray @ pose.axes[2])
        points = pose.starts()[seen] + forward[:, None] * ray
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 0.45, atol=3e-3)
        out = views.world_normals()[v].reshape(-1, 3)[seen]
        assert ((out * points).sum(1) / 0.45 > 0.99).all()


def test_light_comes_from_the_lamp() -> None:
    look = Look(np.array([0.5, 0.5, 0.5]), Light(lamp=(1, 0, 0.5), gloss=0))
    views = render(ball(0.45), CUBE, 24, look=look)
    assert views.colour is not None
    for picture, solid in zip(views.colour, views.solid):
        assert picture[:, 12:][solid[:, 12:]].mean() > picture[:, :12][solid[:, :12]].mean() + 0.1
        assert (picture[~solid & (picture.min(-1) == 1)] == 1).all()
    painted = Look(np.repeat(np.array([[0.9, 0.1, 0.1]]), len(box().faces), 0))
    colour, cover = draw(box((0.2, 0.2, 0.2)), CUBE.poses(20)[0], painted, smooth=2)
    assert cover.max() == 1 and cover.min() == 0
    assert colour[10, 10, 0] > 3 * colour[10, 10, 1] and (colour[0, 0] == 1).all()


def test_what_cannot_be_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="without faces"):
        render(NONE, CUBE)
    with pytest.raises(ValueError, match="unit frame"):
        render(ball(0.1, (9, 9, 9)), CUBE)
    plate = Mesh(np.array([[-0.3, 0, -0.3], [0.3, 0, -0.3], [0, 0, 0.3]], np.float32), np.array([[0, 2, 1]], np.int32))
    assert not render(plate, CUBE).mask[0].any(), "seen from its edge, and from above it is there"


def test_views_fit_their_rig() -> None:
    views = render(ball(0.4, rings=8), CUBE, 12)
    for change, words in (
        ({"mask": views.mask[:5]}, "rig of 6 views"),
        ({"depth": views.depth[:, :6]}, "`depth`"),
        ({"normal": views.depth}, "`normal`"),
        ({"depth": views.depth * np.nan}, "NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(views, **change)
    with pytest.raises(ValueError, match="no normals"):
        Views(CUBE, views.mask).world_normals()
