"""Coverage is exact for draws of the truth's own law, whatever the law, and shows draws that are too narrow."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.metrics.calibration import central_coverage, ranks


def test_ranks_count_the_draws_below() -> None:
    assert ranks(np.array([0.5, -1.0, 9.0]), np.array([[0.0] * 3, [1.0] * 3])).tolist() == [1, 0, 2]


@pytest.mark.parametrize("law", ["normal", "exponential", "cauchy"])
def test_draws_of_the_same_law_are_calibrated(law: str) -> None:
    rng = np.random.default_rng(0)
    draw = {"normal": rng.normal, "exponential": rng.exponential, "cauchy": lambda size: rng.standard_cauchy(size)}[law]
    centre = rng.normal(size=20_000)  # each value has a law of its own
    nominal, observed = central_coverage(draw(size=20_000) + centre, draw(size=(19, 20_000)) + centre)
    assert nominal == pytest.approx(np.arange(0.1, 0.95, 0.1))
    assert np.abs(observed - nominal).max() < 4 * 0.5 / 20_000**0.5


def test_narrow_draws_cover_too_little_and_wide_ones_too_much() -> None:
    rng = np.random.default_rng(1)
    truth, draws = rng.normal(size=5000), rng.normal(size=(9, 5000))
    nominal, narrow = central_coverage(truth, draws / 2)
    _, wide = central_coverage(truth, draws * 2)
    assert (narrow < nominal - 0.05).all()
    assert (wide > nominal + 0.05).all()


def test_one_draw_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        central_coverage(np.zeros(3), np.zeros((1, 3)))
