"""Consistency models against the closed form of the Gaussian."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from scigen.distill.consistency import boundary, consistency_loss, skip_and_out
from scigen.oracle import gaussian_path
from scigen.process.affine import rectified
from scigen.solver import ddim, sample
from scigen.solver.fewstep import renoise
from scigen.solver.loop import Memory
from tests.anchors.problems import (
    EDM,
    MEAN,
    VAR,
    marginal_moments,
    moments,
    on_gaussian,
    starts,
)
from tests.anchors.test_distill import data, every_process, minimum, seeded


def end_of(affine, t_min):
    """The consistency function of G: the path's point at t_min, over alpha there."""
    return lambda x_t, t, previous=None: _ends(affine, x_t, t, t_min)


def _ends(affine, x_t, t, t_min):
    return gaussian_path(affine, MEAN, VAR, x_t, t, t_min) / affine.alpha(t_min)


@every_process
@pytest.mark.parametrize("t_min", [0.0, 0.01])
def test_boundary_is_exact_whatever_the_network(affine, t_min):
    f = boundary(lambda x_t, t, previous: torch.sin(7 * x_t) + 3, affine, t_min, std=0.5)
    x = starts(affine, 1.0)
    assert (f(x, t_min) - x / affine.alpha(t_min)).abs().max() < 1e-14 * (1 + x.abs().max())
    assert f(x, 1.0).isfinite().all() and (f(x, 0.5) - x).abs().max() > 0.1


def test_boundary_curves_are_the_papers_in_sigma():
    sigma = torch.tensor([0.002, 0.1, 1.0, 80.0], dtype=torch.float64)
    skip, out = skip_and_out(EDM, sigma / 80, 0.002 / 80, std=0.5)
    assert (skip - 0.25 / ((sigma - 0.002) ** 2 + 0.25)).abs().max() < 1e-15
    assert (out - 0.5 * (sigma - 0.002) / (sigma**2 + 0.25).sqrt()).abs().max() < 1e-15


def test_the_gaussian_function_is_constant_along_the_flow():
    """Along SciPy's own path of the probability-flow ODE, sigma from 80 to 0.002."""
    slope = lambda log_sigma, x: x - on_gaussian(EDM)(torch.from_numpy(x)[None], math.exp(log_sigma) / 80)[0].numpy()  # noqa: E731
    x = np.linspace(-150, 150, 7)
    levels = np.linspace(math.log(80), math.log(0.002), 9)
    path = solve_ivp(slope, (levels[0], levels[-1]), x, "DOP853", levels, rtol=1e-13, atol=1e-13).y
    ends = [end_of(EDM, 0.002 / 80)(torch.from_numpy(y), math.exp(v) / 80) for y, v in zip(path.T, levels)]
    assert max(float((e - ends[-1]).abs().max()) for e in ends) < 2e-12
    sd = math.sqrt((VAR + 0.002**2) / (VAR + 80**2))
    assert (ends[0] - (MEAN + sd * (torch.from_numpy(x) - MEAN))).abs().max() < 1e-13


def exact_move(process, denoise, x_t, t, s, rng, memory):
    return gaussian_path(process, MEAN, VAR, x_t, t, s), Memory(x_t, t)


@every_process
def test_consistency_loss_is_zero_for_the_exact_function_only(affine):
    t_min, grid = 0.01, [1.0, 0.7, 0.4, 0.2, 0.01]
    exact, x0 = end_of(affine, t_min), MEAN + math.sqrt(VAR) * torch.randn(256, 1, dtype=torch.float64)
    loss = consistency_loss(affine, exact, exact, x0, grid, seeded(), on_gaussian(affine), exact_move)
    assert loss < 1e-24
    mean = on_gaussian(affine)
    assert consistency_loss(affine, mean, mean, x0, grid, seeded(), mean, exact_move) > 1e-3
    c = 0.00054  # near zero the pseudo-Huber distance is d^2 / 2c, far away |d|
    assert consistency_loss(affine, exact, lambda x, s: exact(x, s) + 1.0, x0, grid, seeded(), mean, exact_move, c) < 1
    far = consistency_loss(affine, exact, lambda x, s: exact(x, s) + 1.0, x0, grid, seeded(), mean, exact_move, c)
    assert abs(far - (math.sqrt(1 + c**2) - c)) < 1e-6


@pytest.mark.parametrize("taught, tolerance", [(True, 1e-10), (False, 0.1)], ids=["distillation", "training"])
def test_a_trained_linear_model_is_the_teachers_ddim_and_tends_to_the_closed_form(taught, tolerance):
    """F affine in x, two numbers at each of 12 times. Its optimum is DDIM on the grid, at first order from the flow."""
    affine, t_min, count = rectified(), 0.02, 12
    grid = [1.0, *torch.linspace(0.9, t_min, count - 1, dtype=torch.float64).tolist()]
    times, mean = torch.tensor(grid, dtype=torch.float64), on_gaussian(affine)

    def function(table):
        def network(x_t, t, previous):
            row = table[(torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1) - times).abs().argmin(1)]
            return row[:, :1] + row[:, 1:] * x_t

        return boundary(network, affine, t_min, math.sqrt(VAR))

    def loss(table, frozen):
        rng = seeded()
        x0 = data(1000 if taught else 8_000, rng)
        teach = consistency_loss(affine, function(table), frozen, x0, grid, rng, mean if taught else None)
        return teach + table[-1].square().sum()  # nothing asks for F at t_min

    table = torch.zeros(count, 2, dtype=torch.float64)
    for _ in range(count - 1):  # a fixed target at a time: each sweep carries the boundary one interval further up
        frozen = function(table)
        table = minimum(lambda new, frozen=frozen: loss(new, frozen), (count, 2))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    got, truth = function(table)(x, 1.0), end_of(affine, t_min)(x, 1.0)
    steps = sample(affine, mean, x, grid, seeded(), ddim())[0] / affine.alpha(t_min)
    print(f"taught {taught}: {(got - steps).abs().max():.1e} from DDIM, {(got - truth).abs().max():.2f} from the flow")
    assert (got - steps).abs().max() < tolerance
    assert (got - truth).abs().max() < 0.3 < 1 < (mean(x, 1.0) - truth).abs().max()


@every_process
@pytest.mark.parametrize("grid", [[1.0, 0.02], [1.0, 0.5, 0.02], [1.0, 0.8, 0.3, 0.1, 0.02]], ids=len)
def test_multistep_sampling_keeps_the_law_with_few_steps(affine, grid):
    t_min = 0.02
    level = float(affine.sigma(t_min) / affine.alpha(t_min))
    first, last = marginal_moments(affine, 1.0), marginal_moments(affine, t_min)
    mean, var = moments(renoise(level), affine, end_of(affine, t_min), grid, *first)
    assert abs(mean - last[0]) < 3e-14 and abs(var - last[1]) < 3e-14
    assert moments(renoise(), affine, on_gaussian(affine), grid, *first)[1] < 0.9 * last[1]
