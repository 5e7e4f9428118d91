"""The tools of constructive geometry against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.shapes.procedural.outlines import airfoil, circle, ngon, rounded, superellipse
from scigen.domains.shapes.procedural.paths import arc, bent, bezier, smooth
from scigen.domains.shapes.procedural.solids import (
    around,
    both,
    box,
    extrude,
    loft,
    prism,
    revolve,
    rod,
    slab,
    sweep,
    unite,
)


def polygon_area(count: int, radius: float) -> float:
    return count / 2 * radius**2 * np.sin(2 * np.pi / count)


def area(outline: np.ndarray) -> float:
    x, y = outline.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_a_rod_is_a_frustum_wherever_it_points() -> None:
    section, ratio = polygon_area(16, 1.0), 0.4
    expected = 3 * section * (1 + ratio + ratio**2) / 3
    for end in ([3, 0, 0], [0, 3, 0], [0, 0, -3], list(np.array([1, -2, 2]))):
        solid = rod((0, 0, 0), end, 1.0, ratio)
        assert solid.volume() == pytest.approx(expected)
        assert solid.genus() == 0


def test_prisms_slabs_and_extrusions_have_their_volume() -> None:
    assert prism((0, 0, 0), (0, 5, 0), ngon(2, 6)).volume() == pytest.approx(5 * 2 * np.sqrt(3))
    assert box((1, 2, 3), (5, 0, 0)).bounding_box() == pytest.approx((4.5, -1, -1.5, 5.5, 1, 1.5))
    assert slab((1, 2, 3), radius=1e-6).volume() == pytest.approx(6, rel=1e-3)
    assert slab((1, 2, 3), radius=0.2, edge=0.1).bounding_box() == pytest.approx((-0.5, -1, -1.5, 0.5, 1, 1.5))
    frame = extrude([np.array([(0, 0), (4, 0), (4, 4), (0, 4)]), np.array([(1, 1), (1, 3), (3, 3), (3, 1)])], 2)
    assert frame.volume() == pytest.approx(24) and frame.genus() == 1
    assert extrude([circle(1.0, 24)], 1, 10).volume() == pytest.approx(polygon_area(24, 1.0), rel=0.01)


def test_a_lathe_makes_solids_of_revolution() -> None:
    count = 28
    share = polygon_area(count, 1.0)
    assert revolve([(1, 0), (1, 2)]).volume() == pytest.approx(2 * share)
    cup = revolve([(1, 0), (1, 2), (0.8, 2), (0.8, 0.5)])
    assert cup.volume() == pytest.approx(share * (2 - 0.64 * 1.5)) and cup.genus() == 0


@pytest.mark.parametrize("turn", [1, -1])
def test_a_loft_is_turned_the_right_side_out(turn: int) -> None:
    ring = np.insert(circle(1.0, 12)[::turn], 1, 0.0, axis=1)
    assert loft(np.stack([ring, ring + [0, 2, 0]])).volume() == pytest.approx(2 * polygon_area(12, 1.0))
    with pytest.raises(ValueError, match="is no solid"):
        loft(np.stack([ring, ring]))


def test_a_sweep_keeps_its_section_and_refuses_what_crosses() -> None:
    path = np.insert(arc(3.0, 0, 180, 40), 2, 0.0, axis=1)
    # Pappus: area times the way of the centre, here that of the chords up to their bevels.
    half_torus = sweep(path, circle(0.5, 24))
    assert half_torus.volume() == pytest.approx(polygon_area(24, 0.5) * 3 * np.pi, rel=2e-3)
    with pytest.raises(ValueError, match="bends too sharply"):
        sweep(path / 4, circle(1.0, 24))


def test_copies_and_mirrors() -> None:
    arm = box((0.2, 0.2, 1), (0, 0, 1))
    star = unite(around(arm, 5))
    assert star.volume() == pytest.approx(5 * 0.04) and len(star.decompose()) == 5
    pair = both(box((1, 1, 1), (2, 0, 0)))
    assert pair.bounding_box() == pytest.approx((-2.5, -0.5, -0.5, 2.5, 0.5, 0.5))


def test_outlines_run_counter_clockwise_with_their_area() -> None:
    assert area(superellipse(2, 4, 2.0, 400)) == pytest.approx(2 * np.pi, rel=1e-3)
    assert area(rounded(4, 2, 0.5, 60)) == pytest.approx(8 - (4 - np.pi) * 0.25, rel=1e-3)
    assert area(ngon(2, 6)) == pytest.approx(2 * np.sqrt(3))
    wing = airfoil(2.0, 0.12, 33)
    assert area(wing) > 0 and np.ptp(wing[:, 0]) == pytest.approx(2)
    assert np.ptp(wing[:, 1]) == pytest.approx(2 * 0.12, rel=0.01)


def test_paths_pass_where_they_should() -> None:
    curve = bezier([(0, 0), (1, 2), (2, 0)], 5)
    np.testing.assert_allclose(curve, [[0, 0], [0.5, 0.75], [1, 1], [1.5, 0.75], [2, 0]])
    path = bent([(0, 0), (4, 0), (4, 4)], 1.0)
    np.testing.assert_allclose(path[[0, 1, -2, -1]], [[0, 0], [3, 0], [4, 1], [4, 4]])
    profile = smooth([(2, 0), (3, 1), (1, 4)], 9)
    assert {(2.0, 0.0), (3.0, 1.0), (1.0, 4.0)} <= {tuple(point) for point in profile.tolist()}
    assert profile[:, 0].max() == 3 and profile[:, 0].min() == 1 and (np.diff(profile[:, 1]) > 0).all()
