"""Scores of views, by cases that can be counted and angles that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scigen.metrics.views import depth_error, frechet_distance, mask_iou, normal_angle


def test_outlines() -> None:
    a, b = np.zeros((2, 4, 4), bool)
    a[:2], b[1:3] = True, True
    assert mask_iou(a, b) == pytest.approx(4 / 12) and mask_iou(a, a) == 1
    assert mask_iou(a, np.zeros_like(a)) == 0 and mask_iou(np.zeros_like(a), np.zeros_like(a)) == 1


def test_angles() -> None:
    turn = np.radians([0, 30, 90, 180])
    true = np.tile([0.0, 0.0, 1.0], (4, 1))
    found = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], -1)
    every = np.ones(4, bool)
    assert normal_angle(3 * found, true, every) == pytest.approx(75)
    assert normal_angle(found, true, np.array([0, 1, 0, 0], bool)) == pytest.approx(30)
    assert normal_angle(np.zeros((4, 3)), true, every) == pytest.approx(90)
    assert math.isnan(normal_angle(found, true, ~every))


def test_depths() -> None:
    true, found = np.full((3, 3), 2.0), np.full((3, 3), 2.25)
    where = np.eye(3, dtype=bool)
    found[~where] = 99
    assert depth_error(found, true, where) == pytest.approx(0.25)
    assert math.isnan(depth_error(found, true, where & ~where))


def test_frechet_distance_of_gaussians_in_closed_form(numpy_rng: np.random.Generator) -> None:
    """Of commuting covariances: |m - m'|^2 + sum (s_i - s'_i)^2; and by the matrix root, wherever that fits."""
    from scipy.linalg import sqrtm

    x = numpy_rng.standard_normal((50, 4))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T)).T)  # moments exactly 0 and 1
    a, b = x * (1, 2, 3, 4), x * (2, 2, 1, 0) + (0, 0, 0, 3)
    assert frechet_distance(a, b) == pytest.approx((9 + 1 + 0 + 4 + 16) ** 0.5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6) and frechet_distance(a, b[:, ::-1]) > 0
    y = numpy_rng.standard_normal((30, 4)) @ numpy_rng.standard_normal((4, 4))
    s, t = np.cov(a.T), np.cov(y.T)
    square = ((a.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert frechet_distance(a, y) == pytest.approx(square**0.5, rel=1e-6)
    few = numpy_rng.standard_normal((3, 400)), numpy_rng.standard_normal((5, 400))
    assert frechet_distance(*few) == pytest.approx(frechet_distance(*few[::-1]))


@pytest.mark.parametrize("shapes", [((1, 3), (4, 3)), ((4, 3), (4, 2)), ((4,), (4, 2))])
def test_sets_without_a_spread_are_refused(shapes) -> None:
    with pytest.raises(ValueError, match="two rows or more of one length"):
        frechet_distance(*(np.zeros(shape) for shape in shapes))
