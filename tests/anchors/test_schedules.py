"""Step schedules: the dynamic program against every path, the bound in closed form, and FastDPM's Gamma functions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from scigen.oracle import gaussian_variance
from scigen.process.affine import rectified, vp
from scigen.solver import ancestral
from scigen.solver.analytic import analytic
from scigen.solver.fastdpm import ddpm, step_grid, variance_grid
from scigen.solver.grids import at_logsnr, uniform
from scigen.solver.schedule import best_path, fixed_variance, optimal_variance, step_costs, step_search
from tests.anchors.problems import MEAN, PROCESSES, VAR, law_of_move, marginal_moments, moments, on_gaussian


def total(costs, path):
    return sum(float(costs[i, j]) for i, j in zip(path, path[1:]))


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
def test_the_program_finds_the_best_of_all_paths(steps, rng):
    """12 intervals, every choice of inner points: C(11, 4) = 330 paths for 5 steps."""
    costs = torch.rand(13, 13, dtype=torch.float64, generator=rng)
    costs = torch.where(torch.ones(13, 13).triu(1).bool(), costs, torch.inf)
    every = [(0, *inner, 12) for inner in itertools.combinations(range(1, 12), steps - 1)]
    path, bound = best_path(costs, steps)
    best = min(every, key=lambda p: total(costs, p))
    assert path == list(best) and bound == pytest.approx(total(costs, best), abs=1e-15)


def error_of(affine, times):
    return {t: float(gaussian_variance(affine, VAR, t)) for t in times}


def kl(mean, var, other_mean, other_var):
    return ((var + (mean - other_mean) ** 2) / other_var - 1 + math.log(other_var / var)) / 2


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("price", [fixed_variance, optimal_variance])
def test_a_step_costs_its_divergence(name, price):
    """KL of q(x_s | x_t, x0) from the model's Gaussian, both read off moves, averaged over x0 and x_t."""
    affine, (t, s) = PROCESSES[name], (0.6, 0.35)
    error = error_of(affine, [t, s])
    known = lambda x0: lambda x, t, previous=None: torch.full_like(x, x0)  # noqa: E731
    mover = ancestral if price is fixed_variance else analytic(error)
    a, c, spread = law_of_move(mover, affine, on_gaussian(affine), t, s, 1)
    (mean_t, var_t), expected = marginal_moments(affine, t), 0.0
    # The divergence is quadratic in (x0, x_t): three-point Gauss-Hermite rules integrate it exactly.
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    weights = weights / weights.sum()
    alpha, sigma = float(affine.alpha(t)), float(affine.sigma(t))
    for (z0, w0), (z1, w1) in itertools.product(zip(nodes, weights), repeat=2):
        x0 = MEAN + VAR**0.5 * z0
        x_t = alpha * x0 + sigma * z1
        a_true, c_true, var_true = law_of_move(ancestral, affine, known(x0), t, s, 1)
        expected += w0 * w1 * kl(a_true * x_t + c_true, var_true, a * x_t + c, spread)
    assert mean_t == pytest.approx(alpha * MEAN) and var_t > 0
    assert float(step_costs(affine, error, price)[0, 1]) == pytest.approx(expected, rel=1e-9)


ENDS = at_logsnr(rectified(), [-8.0, 12.0])
EXACT = math.log((1 + VAR * math.exp(12)) / (1 + VAR * math.exp(-8))) / 2  # the bound in continuous time, 5.6432


def fine_times(affine, count=60):
    return at_logsnr(affine, torch.linspace(-8, 12, count).tolist())


def test_with_optimal_variances_every_grid_has_the_same_bound():
    """On an isotropic Gaussian the optimal chain is exact, so its bound telescopes to the continuous one."""
    flow = rectified()
    error = error_of(flow, fine_times(flow))
    for steps in (1, 3, 20):
        assert step_search(flow, error, steps, optimal_variance)[1] == pytest.approx(EXACT, abs=1e-12)
    assert pytest.approx(5.6432, abs=5e-5) == EXACT


def test_the_bound_of_fixed_variances_falls_to_the_continuous_one():
    flow = rectified()
    error = error_of(flow, fine_times(flow))
    bounds = [step_search(flow, error, steps)[1] for steps in (1, 4, 16, 59)]
    assert all(a > b for a, b in zip(bounds, bounds[1:])) and bounds[-1] > EXACT
    assert bounds[-1] - EXACT < 1.0
    grid, best = step_search(flow, error, 8)
    assert grid[0] == max(error) and grid[-1] == min(error) and len(grid) == 9
    costs = step_costs(flow, error)
    even = [round(i * 59 / 8) for i in range(9)]
    print("bounds", bounds, EXACT, "8 steps", best, "even in log-SNR", total(costs, even))
    assert best < 0.99 * total(costs, even)


def test_a_searched_grid_may_be_walked():
    affine = vp()
    times = [t for t in uniform(40) if t > 0]
    grid, _ = step_search(affine, error_of(affine, times), 6)
    mean, var = moments(ancestral, affine, on_gaussian(affine), [*grid, 0.0], *marginal_moments(affine, 1.0))
    assert grid[0] == 1.0 and grid[-1] == times[-1] and abs(mean - MEAN) < 1e-12 and 0 < var < VAR


def test_the_gamma_map_is_the_cumulative_product_at_whole_steps():
    for steps, first, last in [(1000, 1e-4, 0.02), (100, 1e-3, 0.05)]:
        process, r = ddpm(steps, first, last), torch.arange(1, steps + 1, dtype=torch.float64) / steps
        expected = np.cumsum(np.log1p(-np.linspace(first, last, steps)))
        gap = (2 * process.log_alpha(r) - torch.from_numpy(expected)).abs().max()
        print("gamma", steps, float(gap))
        assert gap < 1e-9
        assert (process.alpha(r) ** 2 + process.sigma(r) ** 2 - 1).abs().max() < 1e-15


def test_the_gamma_map_is_a_process():
    process, t = ddpm(), torch.linspace(0, 1, 200, dtype=torch.float64)
    assert (process.logsnr(t).diff() < 0).all() and float(process.sigma(0.0)) == 0
    assert process.logsnr(t.float()).dtype == torch.float32 and not process.logsnr(t.float()).isnan().any()
    # beta(t) of the continuous limit: 1000 betas of 1e-4 .. 0.02 are VP's 0.1 .. 20, up to 1 / 1000
    assert (process.diffusion_squared(t[1:]) / vp().diffusion_squared(t[1:]) - 1).abs().max() < 0.11
    assert (process.log_alpha(t) - vp().log_alpha(t)).abs().max() < 0.04
    nearby = process.logsnr(torch.tensor([1e-6, 1e-7], dtype=torch.float64))
    assert (nearby + torch.log(torch.tensor([0.09e-6, 0.09e-7]))).abs().max() < 0.01  # log-SNR = -log(r beta) near 0


def test_steps_are_steps_of_the_chain():
    assert step_grid(1000, 5) == [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert step_grid(1000, 5, power=2) == [1.0, 0.64, 0.36, 0.16, 0.04, 0.0]
    assert step_grid(10, 10) == pytest.approx(uniform(10))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("steps", [2, 6, 50])
def test_variances_are_a_chain_of_their_own(power, steps):
    """alpha^2 along the grid is a product of 1 - beta_i with beta_i^(1/power) in equal steps from the first."""
    process = ddpm()
    grid = variance_grid(process, steps, power=power)
    assert len(grid) == steps + 1 and grid[0] == 1.0 and grid[-1] == 0.0 and all(a > b for a, b in zip(grid, grid[1:]))
    log_alpha = 2 * process.log_alpha(torch.tensor(grid[::-1], dtype=torch.float64))
    betas = -torch.expm1(log_alpha.diff())
    assert float(betas[0]) == pytest.approx(1e-4, rel=1e-4)
    roots = betas ** (1 / power)
    assert (roots.diff() - roots.diff().mean()).abs().max() < 1e-6


def test_the_chains_own_betas_give_back_its_steps():
    """As many variances as the chain has steps, from the same first: VAR is STEP."""
    expected, found = step_grid(200, 200), variance_grid(ddpm(200, 1e-3, 0.05), 200, first=1e-3)
    assert np.abs(np.array(expected) - np.array(found)).max() < 1e-8


def test_what_cannot_be_scheduled_is_told():
    flow = rectified()
    with pytest.raises(ValueError, match="`steps` must lie in .1, 3. for 4 times, got 4"):
        best_path(torch.zeros(4, 4), 4)
    with pytest.raises(ValueError, match="log-SNR at t=0.0 is infinite"):
        step_search(flow, {1.0: 0.5, 0.5: 0.2, 0.0: 0.0}, 1)
    with pytest.raises(ValueError, match="betas must rise"):
        ddpm(10, 1e-4, 0.5)
    with pytest.raises(ValueError, match="has not 11 distinct steps"):
        step_grid(10, 11)
    with pytest.raises(ValueError, match="has not 0 distinct steps"):
        step_grid(10, 0)
    with pytest.raises(ValueError, match="betas rising from 0.0001 cannot reach"):
        variance_grid(flow, 5)
    with pytest.raises(ValueError, match="cannot reach"):
        variance_grid(vp(), 1)
