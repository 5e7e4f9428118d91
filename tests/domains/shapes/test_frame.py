"""The unit frame of shapes: the smallest sphere, the way back, and that it turns with the points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scigen.domains.shapes.frame import Frame, bounding_frame


def test_the_sphere_of_a_tetrahedron_passes_through_its_corners() -> None:
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    frame = bounding_frame(corners)
    assert frame.scale == pytest.approx(2 * np.sqrt(3), rel=1e-12)
    np.testing.assert_allclose(frame.center, 0, atol=1e-12)


def test_half_a_sphere_has_the_whole_ones_frame() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 3))
    x = x[x[:, 0] > 0]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert 2 <= bounding_frame(x).scale < 2.01


def test_points_fit_and_come_back_in_their_own_units() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 3)) * 1e-3 + 1e6  # a part in metres, far from the origin of its survey
    frame = bounding_frame(x)
    inside = frame.enter(x)
    assert np.linalg.norm(inside, axis=1).max() == pytest.approx(0.5, abs=1e-6)
    assert np.abs(frame.leave(inside) - x).max() < 1e-8


def test_the_frame_turns_and_scales_with_the_points() -> None:
    rng = np.random.default_rng(2)
    x, turn = rng.normal(size=(300, 3)), Rotation.random(rng=3).as_matrix()
    here, there = bounding_frame(x), bounding_frame(2.5 * x @ turn.T + 7)
    np.testing.assert_allclose(there.center, 2.5 * here.center @ turn.T + 7, atol=1e-9)
    assert there.scale == pytest.approx(2.5 * here.scale, rel=1e-9)


@pytest.mark.parametrize("points", [np.ones((4, 3)), np.zeros((1, 3))])
def test_points_without_extent_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="without extent"):
        bounding_frame(points)


def test_a_frame_is_its_own_inverse_in_closed_form() -> None:
    frame = Frame(np.array([1.0, 2.0, 3.0]), 4.0)
    np.testing.assert_array_equal(frame.enter(np.array([[5.0, 2.0, 3.0]])), [[1, 0, 0]])
