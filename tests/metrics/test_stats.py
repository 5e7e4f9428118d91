"""Intervals against closed forms, published values and simulated coverage."""

import numpy as np
import pytest
from scipy.stats import binomtest

from scigen.metrics.stats import bootstrap, pooled_share_interval, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (81, 263), (1, 29), (9500, 10_000)])
def test_wilson_agrees_with_scipy(k, n):
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_and_nonsense():
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="successes"):
        wilson(5, 4)


def test_pooled_share_with_equal_molecules_is_the_binomial_one():
    # Molecules of one atom each are independent trials: the ratio estimator must reduce to Wilson's, up to n/(n-1).
    stable = np.r_[np.ones(900), np.zeros(100)]
    low, high = pooled_share_interval(stable, np.ones(1000))
    assert (low, high) == pytest.approx(wilson(900, 1000), abs=2e-4)


def test_pooled_share_widens_when_atoms_fail_together():
    together = pooled_share_interval(np.r_[np.full(90, 20), np.zeros(10)], np.full(100, 20))
    apart = wilson(1800, 2000)
    assert together[1] - together[0] > 3 * (apart[1] - apart[0])


def test_pooled_share_of_perfect_molecules_is_bounded_by_their_number():
    low, high = pooled_share_interval(np.full(50, 18), np.full(50, 18))
    assert high == pytest.approx(1) and low == pytest.approx(wilson(50, 50)[0])


def test_bootstrap_covers_the_mean(numpy_rng):
    hits = 0
    for k in range(100):
        low, high = bootstrap(numpy_rng.normal(3.0, 2.0, 80), np.mean, seed=k, draws=300)
        hits += low <= 3.0 <= high
    assert 86 <= hits <= 100


def test_bootstrap_is_reproducible_and_needs_two():
    values = np.arange(20.0)
    assert bootstrap(values, np.median, seed=1) == bootstrap(values, np.median, seed=1)
    assert bootstrap(values[:1], np.mean) is None
