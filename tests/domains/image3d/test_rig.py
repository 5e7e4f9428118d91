"""Camera rigs: where the cameras stand, which way their pictures lie, and what hangs on the input picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scigen.domains.image3d.rig import CUBE, WONDER3D, ZERO123PLUS_11, ZERO123PLUS_12, CameraRig, Viewpoint

X, Y, Z = np.eye(3)
RIGS = (CUBE, WONDER3D, ZERO123PLUS_11, ZERO123PLUS_12)


def test_the_cube_looks_along_the_axes() -> None:
    golden = [(X, Y, Z), (-Z, Y, X), (-X, Y, -Z), (Z, Y, -X), (X, -Z, Y), (X, Z, -Y)]  # right, up, towards
    np.testing.assert_allclose(CUBE.axes(), np.array(golden), atol=1e-12)
    poses = CUBE.poses(48)
    np.testing.assert_allclose([p.eye for p in poses], [2 * towards for _, _, towards in golden], atol=1e-12)
    assert all(p.parallel and p.slope == 0.52 and p.pixels == 48 for p in poses)


def test_published_angles() -> None:
    around = (30, 90, 150, 210, 270, 330)
    assert ZERO123PLUS_11.azimuth == ZERO123PLUS_12.azimuth == around
    assert ZERO123PLUS_11.elevation == (30, -20) * 3 and ZERO123PLUS_12.elevation == (20, -10) * 3
    assert WONDER3D.azimuth == (0, 45, 90, 180, -90, -45) and set(WONDER3D.elevation) == {0}
    first = ZERO123PLUS_12.poses(320)[0]
    expected = 2 * np.array([0.5 * np.cos(np.pi / 9), np.sin(np.pi / 9), np.sqrt(3) / 2 * np.cos(np.pi / 9)])
    np.testing.assert_allclose(first.eye, expected, atol=1e-12)
    assert first.slope == pytest.approx(np.tan(np.pi / 12)) and not first.parallel


@pytest.mark.parametrize("rig", RIGS)
def test_cameras_look_at_the_middle_and_up_is_up(rig: CameraRig) -> None:
    for pose in rig.poses(11, Viewpoint(20, 10)):
        right, up, forward = pose.axes
        np.testing.assert_allclose(pose.axes @ pose.axes.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(np.cross(right, up), -forward, atol=1e-12)
        np.testing.assert_allclose(pose.eye / np.linalg.norm(pose.eye), -forward, atol=1e-12)
        xy, z = pose.project(np.stack([np.zeros(3), 0.1 * right, 0.1 * up]))
        np.testing.assert_allclose(xy[0], 5, atol=1e-9)
        assert z[0] == pytest.approx(rig.radius)
        assert xy[1, 0] > 5 and xy[2, 1] < 5, "columns to the right, rows downwards"


def test_what_hangs_on_the_input_picture() -> None:
    seen = Viewpoint(70, 25)
    assert np.array_equal(CUBE.axes(seen), CUBE.axes())
    np.testing.assert_allclose(WONDER3D.axes(seen)[0], seen.axes(), atol=1e-12)
    np.testing.assert_allclose(WONDER3D.axes(seen)[3] @ seen.axes().T, np.diag([-1, 1, -1]), atol=1e-12)
    turned = ZERO123PLUS_12.axes(seen)
    np.testing.assert_allclose(turned[0], Viewpoint(100, 20).axes(), atol=1e-12)
    np.testing.assert_allclose(turned[:, 2, 1], np.sin(np.radians([20, -10] * 3)), atol=1e-12)


@pytest.mark.parametrize("rig", RIGS)
def test_every_picture_holds_the_unit_sphere(rig: CameraRig) -> None:
    sphere = np.random.default_rng(0).normal(size=(500, 3))
    sphere *= 0.5 / np.linalg.norm(sphere, axis=1, keepdims=True)
    for pose in rig.poses(64):
        xy, _ = pose.project(sphere)
        assert xy.min() > -0.5 and xy.max() < 63.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"azimuth": (0, 1)}, "2 azimuths and 6 elevations"),
        ({"azimuth": (), "elevation": ()}, "0 azimuths"),
        ({"elevation_is": "input_relative"}, "canonical"),
        ({"half_extent_or_fov": 0.4}, "radius 0.4"),
        ({"radius": 0.3}, "outside"),
        ({"projection": "persp", "half_extent_or_fov": 20.0}, "hold it"),
    ],
)
def test_impossible_rigs(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CUBE, **change)
