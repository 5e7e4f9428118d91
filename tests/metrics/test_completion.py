"""Diversity, fidelity and visibility of completions on clouds worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.metrics.chamfer import indexed
from scigen.metrics.completion import fidelity, mutual_difference, seen


def point(*x):
    return indexed(np.array([x], float))


def test_mutual_difference_is_its_formula():
    # CD of points at 0, 1, 3: 2 d^2 = 2, 18, 8. TMD = 2 / (3 - 1) (2 + 18 + 8).
    assert mutual_difference([point(0, 0, 0), point(1, 0, 0), point(3, 0, 0)]) == pytest.approx(28)
    assert mutual_difference([point(1, 2, 3)] * 4) == 0
    with pytest.raises(ValueError, match="at least 2 completions"):
        mutual_difference([point(0, 0, 0)])


def test_mutual_difference_is_the_sum_of_means_over_the_others(numpy_rng):
    clouds = [indexed(numpy_rng.random((20, 3))) for _ in range(5)]
    table = np.zeros((5, 5))
    for i, a in enumerate(clouds):
        for j, b in enumerate(clouds):
            near = ((a.points[:, None] - b.points) ** 2).sum(-1)
            table[i, j] = near.min(0).mean() + near.min(1).mean()
    assert mutual_difference(clouds) == pytest.approx((table.sum(1) / 4).sum())


def test_fidelity_is_the_worst_point_of_the_partial_cloud():
    partial = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert fidelity(partial, [point(0, 0, 0), point(0, 3, 0)]) == pytest.approx((1 + np.sqrt(10)) / 2)
    assert fidelity(partial, [indexed(np.concatenate([partial, [[9.0, 9, 9]]]))]) == 0


def test_seen_points_are_those_near_the_partial_cloud():
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0), [0.0]), -1).reshape(-1, 3)
    reference, partial = indexed(grid), indexed(grid[grid[:, 0] < 8])
    assert np.array_equal(seen(reference, partial), reference.points[:, 0] <= 7 + 3)
