"""Solvers that theory says are the same move, and processes that theory says are the same process."""

from __future__ import annotations

import pytest
import torch

from scigen.denoiser import epsilon
from scigen.oracle import gaussian_path
from scigen.solver import (
    DATA,
    NATURAL,
    NOISE,
    adams,
    ancestral,
    ddim,
    dpm_solver,
    dpmpp_2m,
    euler,
    heun,
    predictor_corrector,
    sample,
    unipc,
)
from scigen.solver.grids import at_logsnr, late, shared, uniform
from tests.anchors.problems import MEAN, PROCESSES, SHARED, VAR, level_grid, on_gaussian, on_mixture, starts

PAIRS = [(1.0, 0.9), (0.6, 0.4), (0.3, 0.29), (0.1, 0.01), (0.05, 0.0)]


def one_step(solver, affine, t, s, seed=0):
    denoise, x = on_mixture(affine), starts(affine, t)
    return solver(affine, denoise, x, t, s, torch.Generator().manual_seed(seed), None)[0]


@pytest.mark.parametrize("t, s", PAIRS)
def test_ddim_is_euler_on_rectified_flow(t, s):
    flow = PROCESSES["flow"]
    assert (one_step(ddim(), flow, t, s) - one_step(euler, flow, t, s)).abs().max() < 5e-15
    vp = PROCESSES["vp"]  # and nowhere else
    assert s == 0 or (one_step(ddim(), vp, t, s) - one_step(euler, vp, t, s)).abs().max() > 1e-5


@pytest.mark.parametrize("name", PROCESSES)
def test_ddim_is_dpm_solver_1(name):
    """x_s = (alpha_s / alpha_t) x_t - sigma_s (e^h - 1) eps, in noise rather than data."""
    affine = PROCESSES[name]
    for t, s in zip(level_grid(affine, 16), level_grid(affine, 16)[1:]):
        x = starts(affine, t)
        h = affine.half_logsnr(s) - affine.half_logsnr(t)
        eps = epsilon(affine, x, on_mixture(affine)(x, t), t)
        other = affine.alpha(s) / affine.alpha(t) * x - affine.sigma(s) * torch.expm1(h) * eps
        assert ((one_step(ddim(), affine, t, s) - other) / affine.scale(s)).abs().max() < 3e-14


@pytest.mark.parametrize("name", PROCESSES)
def test_first_multistep_move_is_ddim(name):
    for t, s in PAIRS:
        gap = one_step(dpmpp_2m, PROCESSES[name], t, s) - one_step(ddim(), PROCESSES[name], t, s)
        assert (gap / PROCESSES[name].scale(s)).abs().max() < 3e-14


@pytest.mark.parametrize("name", PROCESSES)
def test_ddim_at_eta_one_is_ancestral(name):
    for t, s in PAIRS:
        gap = one_step(ddim(1.0), PROCESSES[name], t, s) - one_step(ancestral, PROCESSES[name], t, s)
        assert (gap / PROCESSES[name].scale(s)).abs().max() < 3e-14
        assert s == 0 or (one_step(ddim(0.9), PROCESSES[name], t, s) - one_step(ancestral, PROCESSES[name], t, s)).any()


SAME = {
    "ddim": ddim(),
    "ancestral": ancestral,
    "dpmpp_2m": dpmpp_2m,
    "corrected": predictor_corrector(ddim(0.5), 2),
    "adams": adams(4, NOISE),
    "pndm": adams(4, NATURAL),
    "unipc": unipc(3, DATA),
    "dpm_solver": dpm_solver(3),
}
WALKERS = [adams(3), adams(4, NOISE), adams(4, NATURAL), unipc(3), unipc(2, DATA), dpm_solver(3), dpm_solver(2, DATA)]


def scaled_run(solver, affine, steps=40):
    """Final points over their scale, on the shared levels, with the same noise."""
    grid = level_grid(affine, steps)
    x, _ = sample(affine, on_mixture(affine), starts(affine, grid[0]), grid, torch.Generator().manual_seed(3), solver)
    return x / affine.scale(grid[-1])


@pytest.mark.parametrize("name", ["subvp", "ve", "cosine", "flow"])
@pytest.mark.parametrize("solver", SAME)
def test_all_processes_are_one_on_shared_levels(solver, name):
    gap = scaled_run(SAME[solver], PROCESSES[name]) - scaled_run(SAME[solver], PROCESSES["vp"])
    assert gap.abs().max() < 1e-12


def test_solvers_that_step_in_t_differ():
    """Their clock is the process's own: the identity above is a fact about DDIM and its kin, not about the test."""
    for solver in (euler, heun):
        gap = scaled_run(solver, PROCESSES["flow"]) - scaled_run(solver, PROCESSES["vp"])
        assert gap.abs().max() > 1e-6


@pytest.mark.parametrize("name", PROCESSES)
def test_solvers_follow_the_exact_path_of_the_gaussian(name):
    affine = PROCESSES[name]
    grid = level_grid(affine, 256)
    x = starts(affine, grid[0])
    exact = gaussian_path(affine, MEAN, VAR, x, grid[0], grid[-1])
    rng, denoise = torch.Generator(), on_gaussian(affine)
    # VE's clock is log sigma, in which the Runge-Kutta slopes are long: its error is larger at equal steps.
    bounds = {dpmpp_2m: 3e-4, ddim(): 3e-2, heun: 3e-3 if name == "ve" else 3e-4}
    for solver, bound in bounds.items():
        assert ((sample(affine, denoise, x, grid, rng, solver)[0] - exact) / affine.scale(grid[-1])).abs().max() < bound


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("solver", [ancestral, ddim(), euler, heun, dpmpp_2m, predictor_corrector(), *WALKERS])
def test_whole_runs_are_finite_and_end_on_the_belief(solver, name):
    """From t = 1 to t = 0 themselves, where alpha, sigma and log-SNR are 0 or infinite."""
    affine = PROCESSES[name]
    x, belief = sample(affine, on_mixture(affine), starts(affine, 1.0), uniform(10), torch.Generator(), solver)
    assert x.isfinite().all() and belief.isfinite().all()
    if float(affine.sigma(0.0)) == 0 and solver not in (euler, WALKERS[2]):  # rho = 0 is a clock like any other
        assert (x - belief).abs().max() < 1e-12


def test_multistep_stays_continuous_at_the_end():
    """The move to sigma_s = 0 is the limit of first-order moves to sigma_s -> 0."""
    flow = PROCESSES["flow"]
    near, at = (one_step(dpmpp_2m, flow, 0.1, s) for s in (1e-9, 0.0))
    assert (near - at).abs().max() < 1e-7


@pytest.mark.parametrize("name", PROCESSES)
def test_shared_levels_are_reached(name):
    levels = torch.tensor(SHARED, dtype=torch.float64)
    reached = PROCESSES[name].logsnr(torch.tensor(at_logsnr(PROCESSES[name], SHARED), dtype=torch.float64))
    assert (reached - levels).abs().max() < 1e-9


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("solver", [ddim(), euler, heun, dpmpp_2m, *WALKERS])
def test_single_precision_follows_double(solver, name):
    """Over a whole run from 1 to 0 float32 stays within rounding of float64 (1e-6 to 3e-6 of points of size one)."""
    affine = PROCESSES[name]
    grid, x, rng = shared(affine, late(30)), starts(affine, 1.0), torch.Generator()
    double, single = (sample(affine, on_mixture(affine), y, grid, rng, solver)[1] for y in (x, x.float()))
    assert single.dtype == torch.float32
    assert (double - single).abs().max() < 3e-5
