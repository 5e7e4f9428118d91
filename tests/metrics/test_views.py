"""Scores of views, by cases that can be counted and angles that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scigen.metrics.views import depth_error, mask_iou, normal_angle


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
