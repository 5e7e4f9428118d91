"""Time grids: their shape, their levels, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.process.affine import cosine, rectified, subvp, ve, vp
from scigen.solver.grids import at_logsnr, karras, late, logsnr_uniform, quadratic, shared, uniform

PROCESSES = {"vp": vp(), "subvp": subvp(), "ve": ve(), "cosine": cosine(), "flow": rectified()}
every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)
FIXED = {"uniform": uniform, "quadratic": quadratic, "late": late}
LEVELLED = {"karras": karras, "logsnr_uniform": logsnr_uniform}


def falls(grid, steps):
    assert len(grid) == steps + 1
    assert grid[0] == 1 and grid[-1] == 0
    assert all(a > b for a, b in zip(grid, grid[1:]))
    assert all(isinstance(t, float) for t in grid)


@pytest.mark.parametrize("steps", [1, 2, 10, 100])
def test_grids_fall_from_one_to_zero(steps):
    for grid in FIXED.values():
        falls(grid(steps), steps)
    for affine in PROCESSES.values():
        for grid in LEVELLED.values():
            falls(grid(affine, steps), steps)


def levels(affine, grid):
    return affine.logsnr(torch.tensor(grid[1:-1], dtype=torch.float64))


@every_process
def test_levels_are_spaced_as_named(affine):
    assert levels(affine, logsnr_uniform(affine, 12)).diff().diff().abs().max() < 1e-8
    rho_th_root = (-levels(affine, karras(affine, 12)) / 14).exp()
    assert rho_th_root.diff().diff().abs().max() < 1e-9


def test_a_process_that_bottoms_out_spends_no_step_there():
    """VE stops at log-SNR 9.21 at t = 0 itself: its last step is as long as the others, not of length zero."""
    grid = torch.tensor(logsnr_uniform(ve(), 12), dtype=torch.float64)
    assert ve().logsnr(grid).diff().diff().abs().max() < 1e-8


def test_karras_is_edms_formula():
    """EDM's own levels at sigma_min 0.002, sigma_max 80: equation 5 of arXiv:2206.00364."""
    n = 8
    expected = [(80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(1, n)]
    grid = karras(rectified(), n)
    assert [t / (1 - t) for t in grid[1:-1]] == pytest.approx(expected, rel=1e-9)


def test_late_is_geometric():
    grid = late(5, floor=1e-2)
    assert grid[:-1] == pytest.approx([1, 10**-0.5, 0.1, 10**-1.5, 0.01])


@every_process
def test_shared_levels_are_flows(affine):
    grid = late(50)
    theirs = shared(affine, grid)
    falls(theirs, 50)
    expected = torch.tensor([2 * math.log((1 - t) / t) for t in grid[1:-1]], dtype=torch.float64)
    assert (levels(affine, theirs) - expected).abs().max() < 1e-8


def test_levels_out_of_reach_are_left_out():
    """VE ends at log-SNR -7.8 and 9.2: of flow's levels beyond, none is kept, none is doubled."""
    grid = shared(ve(), late(200, floor=1e-3))
    assert len(grid) < 201
    falls(grid, len(grid) - 1)
    assert shared(rectified(), uniform(7)) == pytest.approx(uniform(7), abs=1e-12)
    assert shared(rectified(), quadratic(7), source=rectified()) == pytest.approx(quadratic(7), abs=1e-12)


def test_at_logsnr_adds_no_ends():
    assert at_logsnr(rectified(), [0.0]) == pytest.approx([0.5])


def test_bad_requests_are_told():
    for grid in FIXED.values():
        with pytest.raises(ValueError, match="at least 1, got 0"):
            grid(0)
    for grid in LEVELLED.values():
        with pytest.raises(ValueError, match="at least 1, got -3"):
            grid(vp(), -3)
    with pytest.raises(ValueError, match="floor"):
        late(5, floor=1.0)
