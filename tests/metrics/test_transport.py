"""Exact assignment against every permutation and against closed forms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from scigen.metrics import transport
from scigen.metrics.transport import assignment, emd, random_subset


@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_no_permutation_is_cheaper(n, numpy_rng):
    a, b = numpy_rng.random((n, 3)), numpy_rng.random((n, 3))
    table = cdist(a, b)
    assert emd(a, b) == pytest.approx(min(table[range(n), p].mean() for p in permutations(range(n))), abs=1e-12)


def test_a_translation_costs_its_length(numpy_rng):
    # No matching beats the distance of the means, and the identity reaches it.
    a, shift = numpy_rng.random((100, 3)), np.array([2.0, -3.0, 6.0])
    assert emd(a, numpy_rng.permutation(a) + shift) == pytest.approx(7.0)
    assert emd(a, numpy_rng.permutation(a)) == 0


def test_on_a_line_it_is_the_distance_of_sorted_points(numpy_rng):
    x, y = numpy_rng.random(200), numpy_rng.random(200) ** 3
    on_line = [np.stack([v, 0 * v, 0 * v], 1) for v in (x, y)]
    assert emd(*on_line) == pytest.approx(np.abs(np.sort(x) - np.sort(y)).mean())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("law", ["uniform", "outlier", "ties", "constant"])
def test_the_warm_start_leaves_the_optimum(law, scale, numpy_rng, monkeypatch):
    monkeypatch.setattr(transport, "_WORTH", 0)
    cost = numpy_rng.random((80, 80))
    if law == "outlier":
        cost[3], cost[:, 7] = 1e5, 1e4
    if law == "ties":
        cost = numpy_rng.integers(0, 3, (80, 80)).astype(float)
    if law == "constant":
        cost = np.full((80, 80), 2.5)
    cost = scale * cost
    rows = np.arange(80)
    assert cost[rows, assignment(cost)].sum() == pytest.approx(cost[linear_sum_assignment(cost)].sum(), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (0, 0)])
def test_unequal_clouds_are_refused(n, m):
    with pytest.raises(ValueError, match=f"equal size, got {n} and {m}"):
        emd(np.zeros((n, 3)), np.zeros((m, 3)))


def test_nan_is_refused():
    with pytest.raises(ValueError, match="invalid"):
        emd(np.full((3, 3), np.nan), np.zeros((3, 3)))


def test_subsets_are_drawn_without_replacement(numpy_rng, seed):
    points = np.arange(60.0).reshape(20, 3)
    drawn = random_subset(points, 7, numpy_rng)
    assert len(np.unique(drawn[:, 0])) == 7 and set(drawn[:, 0]) <= set(points[:, 0])
    assert np.array_equal(drawn, random_subset(points, 7, np.random.default_rng(seed)))
    assert random_subset(points, 20, numpy_rng) is points
    with pytest.raises(ValueError, match="21 points are asked of a cloud of 20"):
        random_subset(points, 21, numpy_rng)
