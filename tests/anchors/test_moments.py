"""Mean and variance of stochastic chains on the Gaussian, propagated exactly: no Monte Carlo."""

from __future__ import annotations

import pytest
import torch

from scigen.solver import ancestral, ddim, euler_maruyama
from scigen.solver.grids import uniform
from scigen.solver.sde import langevin
from tests.anchors.problems import (
    MEAN,
    PROCESSES,
    VAR,
    law_of_move,
    level_grid,
    marginal_moments,
    moments,
    on_gaussian,
)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_mean_is_kept(name, eta):
    """A chain that starts on the marginal's mean ends on it: DDIM is exact in the mean."""
    affine = PROCESSES[name]
    grid = level_grid(affine, 20)
    first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
    mean, _ = moments(ddim(eta), affine, on_gaussian(affine), grid, *first)
    assert abs(mean - last[0]) < 1e-12


@pytest.mark.parametrize("name", ["vp", "flow"])
def test_variance_is_below_and_falls_to_the_truth(name):
    """With the mean as belief the posterior draw always loses variance: Var[x0 | x_t] is missing (arXiv:2201.06503)."""
    affine, errors = PROCESSES[name], []
    for steps in (25, 50, 100, 200):
        grid = level_grid(affine, steps)
        first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
        errors.append(moments(ancestral, affine, on_gaussian(affine), grid, *first)[1] - last[1])
    assert all(e < 0 for e in errors)
    assert all(abs(b) < abs(a) for a, b in zip(errors, errors[1:]))


@pytest.mark.parametrize("name", ["vp", "subvp", "cosine", "flow"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_missing_variance_is_exactly_what_analytic_dpm_restores(name, eta):
    """One move keeps the marginal once c^2 Var[x0 | x_t] is added, c the weight of x0 in it, at any step size."""
    affine, t, s = PROCESSES[name], 0.7, 0.4
    (_, var_t), (mean_s, var_s) = marginal_moments(affine, t), marginal_moments(affine, s)
    a, c, noise = law_of_move(ddim(eta), affine, on_gaussian(affine), t, s, 1)
    weight = law_of_move(ddim(eta), affine, lambda x, t, previous=None: torch.ones_like(x), t, s, 1)[1]
    missing = weight**2 * float(VAR * affine.sigma(t) ** 2 / (affine.alpha(t) ** 2 * VAR + affine.sigma(t) ** 2))
    assert abs(a**2 * var_t + noise + missing - var_s) < 1e-14
    assert abs(a * float(affine.alpha(t)) * MEAN + c - mean_s) < 1e-14


def test_the_sourced_chain_keeps_a_trace_of_the_prior():
    """VP starts from N(0, 1) where the truth is N(alpha mean, ...): a bias that no number of steps removes."""
    affine = PROCESSES["vp"]
    mean, _ = moments(ddim(), affine, on_gaussian(affine), uniform(200), 0.0, 1.0)
    assert 1e-4 < MEAN - mean < 1e-2
    flow = PROCESSES["flow"]
    assert abs(moments(ddim(), flow, on_gaussian(flow), uniform(200), 0.0, 1.0)[0] - MEAN) < 1e-12


@pytest.mark.parametrize("name", ["vp", "subvp", "ve"])
def test_euler_maruyama_is_close_in_law(name):
    affine = PROCESSES[name]
    grid = level_grid(affine, 200)
    first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
    mean, var = moments(euler_maruyama, affine, on_gaussian(affine), grid, *first)
    assert abs(mean - last[0]) < 1e-2
    assert abs(var / last[1] - 1) < 4e-2


def test_euler_maruyama_refuses_the_pure_source():
    affine = PROCESSES["flow"]
    with pytest.raises(ValueError, match="alpha is 0"):
        law_of_move(euler_maruyama, affine, on_gaussian(affine), 1.0, 0.9, 1)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("snr", [0.1, 0.16, 0.4])
def test_corrector_settles_at_its_biased_variance(name, snr):
    """Langevin alone at one level, iterated to its fixed point: v / (1 - h / (2 v)), not v."""
    affine, t = PROCESSES[name], 0.5
    mean, v = marginal_moments(affine, t)

    def corrector(process, denoise, x_t, t, s, rng, memory):
        return langevin(process, x_t, denoise(x_t, t), t, snr, rng), memory

    a, c, noise = law_of_move(corrector, affine, on_gaussian(affine), t, t, 1)
    h = 2 * (snr * float(affine.sigma(t))) ** 2
    assert abs(noise / (1 - a**2) / (v / (1 - h / (2 * v))) - 1) < 1e-12
    assert abs(noise / (1 - a**2) / v - 1) > 1e-4
    assert abs(c / (1 - a) - mean) < 1e-11 * max(1, v)
