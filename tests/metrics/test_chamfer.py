"""Chamfer's family on clouds whose distances are known, and the floor against simulation on a sphere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scigen.metrics.chamfer import (
    chamfer_l1,
    chamfer_l2,
    chamfer_sum,
    density_aware,
    directed_hausdorff,
    f_score,
    indexed,
    match,
)
from scigen.metrics.density import UNIFORM_SPREAD, spacing_spread, stray_share
from scigen.metrics.floor import chamfer_l1_floor, chamfer_l2_floor, f_score_floor, twin

AREA = math.pi  # of a sphere of diameter 1


def lattice(n=8):
    return np.stack(np.meshgrid(*[np.arange(n, dtype=float)] * 3), -1).reshape(-1, 3)


def sphere(n, rng):
    x = rng.standard_normal((n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True) / 2


def test_a_shifted_lattice_is_its_shift_away():
    # Shifted by less than half a cell, every point's nearest is its own copy.
    shift = np.array([0.1, 0.2, -0.2])
    m = match(indexed(lattice()), indexed(lattice() + shift))
    assert m.a == pytest.approx(np.full(512, 0.3)) and m.b == pytest.approx(np.full(512, 0.3))
    assert chamfer_l1(m) == pytest.approx(0.3) and chamfer_sum(m) == pytest.approx(0.6)
    assert chamfer_l2(m) == pytest.approx(2 * 0.09)
    assert f_score(m, 0.29) == 0 and f_score(m, 0.31) == 1
    assert density_aware(m, alpha=1.0) == pytest.approx(1 - math.exp(-0.09))
    assert directed_hausdorff(lattice(), indexed(lattice() + shift)) == pytest.approx(0.3)


def test_the_two_ways_are_kept_apart():
    one, three = np.zeros((1, 3)), np.array([[1.0, 0, 0], [2, 0, 0], [4, 0, 0]])
    m = match(indexed(one), indexed(three))
    assert chamfer_l1(m) == pytest.approx((1 + 7 / 3) / 2)
    assert chamfer_l2(m) == pytest.approx(1 + 21 / 3)
    precision, recall = 1.0, 1 / 3
    assert f_score(m, 1.5) == pytest.approx(2 * precision * recall / (precision + recall))
    # All three share one neighbour: each counts a third. By hand: mean(1 - e^-d^2 / 3) and 1 - e^-1.
    back = np.mean([1 - math.exp(-d * d) / 3 for d in (1, 2, 4)])
    assert density_aware(m, alpha=1.0) == pytest.approx((1 - math.exp(-1) + back) / 2)
    assert directed_hausdorff(one, indexed(three)) == 1 and directed_hausdorff(three, indexed(one)) == 4


def test_matches_agree_with_brute_force(numpy_rng):
    gen, ref = indexed(numpy_rng.random((60, 3))), indexed(numpy_rng.random((45, 3)))
    table = np.linalg.norm(gen.points[:, None] - ref.points, axis=-1)
    m = match(gen, ref)
    assert np.array_equal(m.a_index, table.argmin(1)) and np.array_equal(m.b_index, table.argmin(0))
    assert m.a == pytest.approx(table.min(1)) and m.b == pytest.approx(table.min(0))


@pytest.mark.parametrize("shape", [(0, 3), (5, 2), (5,)])
def test_what_is_no_cloud_is_refused(shape):
    with pytest.raises(ValueError, match=r"\[N, 3\]"):
        indexed(np.zeros(shape))


@pytest.mark.parametrize("n", [8192, 16384])
def test_the_floor_is_what_two_samplings_of_a_sphere_score(n, numpy_rng):
    m = match(indexed(sphere(n, numpy_rng)), indexed(sphere(n, numpy_rng)))
    assert 1000 * chamfer_l1_floor(AREA, n) == pytest.approx(500 * math.sqrt(AREA / n))
    assert chamfer_l1(m) == pytest.approx(chamfer_l1_floor(AREA, n), rel=0.02)
    assert chamfer_l2(m) == pytest.approx(chamfer_l2_floor(AREA, n), rel=0.03)
    assert f_score(m, 0.01) == pytest.approx(f_score_floor(AREA, n, 0.01), abs=0.02)


def test_the_floor_of_unequal_numbers(numpy_rng):
    gen, ref = indexed(sphere(2048, numpy_rng)), indexed(sphere(16384, numpy_rng))
    m = match(gen, ref)
    assert chamfer_l1(m) == pytest.approx(chamfer_l1_floor(AREA, 2048, 16384), rel=0.02)
    assert chamfer_l2(m) == pytest.approx(chamfer_l2_floor(AREA, 2048, 16384), rel=0.04)
    assert f_score(m, 0.01) == pytest.approx(f_score_floor(AREA, 2048, 0.01, 16384), abs=0.02)


def test_a_cloud_knows_its_own_floor(numpy_rng):
    m = twin(indexed(sphere(8192, numpy_rng)))
    assert chamfer_l1(m) == pytest.approx(chamfer_l1_floor(AREA, 8192), rel=0.02)
    assert f_score(m, 0.01) == pytest.approx(f_score_floor(AREA, 8192, 0.01), abs=0.02)
    assert (m.a_index != np.arange(8192)).all()


def test_coinciding_points_have_a_floor_of_zero():
    m = twin(indexed(np.array([[0.0, 0, 0], [0, 0, 0], [3, 0, 0]])))
    assert sorted(m.a) == [0, 0, 3] and (m.a_index != np.arange(3)).all()


@pytest.mark.parametrize("call", [lambda: chamfer_l1_floor(1.0, 0), lambda: twin(indexed(np.zeros((1, 3))))])
def test_a_floor_needs_points(call):
    with pytest.raises(ValueError, match="the floor needs"):
        call()


def test_spacing_of_lattices_and_uniform_draws(numpy_rng):
    assert spacing_spread(indexed(lattice())) == pytest.approx(0, abs=1e-12)
    assert spacing_spread(indexed(sphere(8192, numpy_rng))) == pytest.approx(UNIFORM_SPREAD, abs=0.02)
    clustered = np.concatenate([sphere(500, numpy_rng), 1e-3 * sphere(500, numpy_rng)])
    assert spacing_spread(indexed(clustered)) > 0.9
    with pytest.raises(ValueError, match="coincide"):
        spacing_spread(indexed(np.zeros((9, 3))))


def test_points_off_the_surface_are_counted(numpy_rng):
    cloud = sphere(2000, numpy_rng)
    assert stray_share(indexed(cloud)) == 0
    assert stray_share(indexed(np.concatenate([cloud, 3 + lattice(3) / 2]))) == pytest.approx(27 / 2027)
    with pytest.raises(ValueError, match="more than 8 points"):
        stray_share(indexed(cloud[:8]))
