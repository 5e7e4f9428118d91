"""1-NNA, coverage and MMD on matrices worked by hand, on laws known to be equal or not, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scigen.metrics.cloud_sets import (
    coverage,
    grid_cells,
    halves,
    jensen_shannon,
    minimum_matching,
    neighbour_accuracy,
)
from scigen.metrics.stats import Z95, pooled_share_interval


def on_line(gen, ref):
    """Distances of "clouds" that are numbers: the whole matrix, generated first, and the number generated."""
    x = np.array([*gen, *ref], float)
    return np.abs(x[:, None] - x), len(gen)


def test_accuracy_by_hand():
    distance, g = on_line([0.0, 1.0, 5.0], [5.1, 9.0, 9.5])
    found = neighbour_accuracy(distance, g)  # 5.0 and 5.1 take each other
    assert found["acc"].value == pytest.approx(4 / 6) and found["acc"].n == 6
    assert found["acc_f"].value == pytest.approx(2 / 3) and found["acc_t"].value == pytest.approx(2 / 3)


def test_the_named_shares_belong_to_their_sets():
    # Two tight generated clouds among scattered reference ones: all fake right, no true right.
    found = neighbour_accuracy(*on_line([0.0, 0.1], [-1.0, 1.2]))
    assert found["acc_f"].value == 1 and found["acc_t"].value == 0 and found["acc"].value == 0.5


def test_disjoint_laws_are_told_apart_always(numpy_rng):
    found = neighbour_accuracy(*on_line(numpy_rng.random(30), 10 + numpy_rng.random(30)))
    assert all(found[name].value == 1 for name in ("acc", "acc_t", "acc_f"))
    assert found["acc"].interval[1] == pytest.approx(1) and 0.9 < found["acc"].interval[0] < 1


def test_copies_of_the_reference_fall_below_half(numpy_rng):
    ref = numpy_rng.random(40)
    assert neighbour_accuracy(*on_line(ref + 1e-9, ref))["acc"].value < 0.05


def accuracies(rng, repeats=150, n=40):
    for _ in range(repeats):
        x = rng.standard_normal((2 * n, 3))
        yield neighbour_accuracy(cdist(x, x), n)["acc"]


def test_one_law_gives_half_within_the_interval(numpy_rng):
    found = list(accuracies(numpy_rng))
    truth = 0.5 * (1 - 1 / 79)  # leaving itself out, a cloud has 39 of 79 others on its side
    held = np.mean([low <= truth <= high for low, high in (one.interval for one in found)])
    assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=0.02)
    assert 0.9 < held < 0.99
    # The binomial deviation (0.056) is too small: in three dimensions 0.6 of the nearest pairs are mutual.
    deviation = np.std([one.value for one in found])
    width = np.mean([high - low for low, high in (one.interval for one in found)]) / (2 * Z95)
    assert 1.1 < deviation / (0.5 / np.sqrt(80)) < 1.45 and width / deviation == pytest.approx(1, abs=0.15)


def test_mutual_pairs_count_as_one_trial():
    # Four pairs far apart, each mutual: three of equal sets, one mixed. Six of eight right, in four trials.
    distance, g = on_line([0.0, 0.1, 10.0, 10.1, 30.0], [20.0, 20.1, 30.1])
    found = neighbour_accuracy(distance, g)
    assert found["acc"].value == 0.75
    assert found["acc"].interval == pytest.approx(pooled_share_interval(np.array([2, 2, 2, 0]), np.full(4, 2)))
    assert found["acc_f"].interval == pytest.approx(pooled_share_interval(np.array([2, 2, 0]), np.array([2, 2, 1])))


@pytest.mark.parametrize(("g", "r"), [(1, 5), (5, 1)])
def test_sets_of_one_are_refused(g, r):
    with pytest.raises(ValueError, match="two clouds a set"):
        neighbour_accuracy(np.zeros((g + r, g + r)), g)


def test_coverage_of_nothing_is_refused():
    with pytest.raises(ValueError, match="got 0 and 3"):
        coverage(np.zeros((0, 3)))


def test_coverage_and_mmd_by_hand():
    distance = np.abs(np.array([0.0, 0.2, 4.9])[:, None] - np.array([0.1, 5.0, 9.0, 9.1]))
    assert coverage(distance).value == pytest.approx(2 / 4)
    assert minimum_matching(distance).value == pytest.approx((0.1 + 0.1 + 4.1 + 4.2) / 4)
    low, high = minimum_matching(distance).interval
    assert 0.09 < low < high < 4.21


def test_coverage_of_one_law_and_of_a_collapsed_one(numpy_rng):
    gen, ref = numpy_rng.standard_normal((2, 400, 3))
    found = coverage(cdist(gen, ref))
    assert 0.5 < found.interval[0] < found.value < min(found.interval[1], 1 - np.exp(-1)) < 0.7
    assert coverage(cdist(np.zeros((400, 3)), ref)).value == 1 / 400


def test_coverage_intervals_hold_the_spread(numpy_rng):
    found = [coverage(cdist(*numpy_rng.standard_normal((2, 40, 3)))) for _ in range(200)]
    width = np.mean([one.interval[1] - one.interval[0] for one in found]) / (2 * 1.96)
    assert 1.2 < width / np.std([one.value for one in found]) < 1.8  # on the safe side


def test_halves_are_disjoint_and_equal(numpy_rng):
    a, b = halves(9, numpy_rng)
    assert len(a) == len(b) == 4 and not set(a) & set(b) and {*a, *b} <= set(range(9))


def test_cells_and_divergence(numpy_rng):
    low = np.full(3, -1.0)
    corners = np.array([[-1.0, -1, -1], [0.999, 0.999, 0.999], [7, 7, 7]])
    assert grid_cells(corners, low, 2.0).tolist() == [0, 28**3 - 1, 28**3 - 1]
    left, right = numpy_rng.random((2, 500, 3)) * 0.4
    there = grid_cells(right + 0.5, np.zeros(3), 1.0)
    here = grid_cells(left, np.zeros(3), 1.0)
    assert jensen_shannon(here, there) == pytest.approx(1.0)  # disjoint: one bit
    assert jensen_shannon(here, here) == 0
    # Half of q on p's only cell: H(3/4, 1/4) - (0 + 1) / 2.
    h = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert jensen_shannon(np.zeros(4, int), np.array([0, 1])) == pytest.approx(h - 0.5)
