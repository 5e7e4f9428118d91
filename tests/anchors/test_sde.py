"""Solvers of the reverse SDEs: their order in law, what they are equal to, and adaptive steps that keep their noise."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from scigen.errors import NumericError
from scigen.process.affine import Affine
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, dpmpp_2m, sample
from scigen.solver.adaptive_sde import Pending, adaptive_sde, improved_euler
from scigen.solver.analytic import analytic, learned_variance
from scigen.solver.gddim import gddim
from scigen.solver.grids import uniform
from scigen.solver.sde import dpmpp_2m_sde
from scigen.state import State, Streams, center
from tests.anchors.chain import law_of_run
from tests.anchors.problems import (
    MEAN,
    PROCESSES,
    fitted,
    level_grid,
    marginal_moments,
    on_gaussian,
    on_mixture,
    starts,
    uneven_grid,
)
from tests.anchors.test_product import SIZES, empty, equivariant, lawful, molecules, rngs

ETAS = [0.0, 0.5, 1.0, 1.5]


def variance_errors(solver, affine, grid, steps):
    errors = []
    for n in steps:
        times = grid(affine, n)
        first, last = marginal_moments(affine, times[0]), marginal_moments(affine, times[-1])
        errors.append(abs(float(law_of_run(solver, affine, on_gaussian(affine), times, *first)[1]) - last[1]))
    return errors


@pytest.mark.parametrize("eta, grid", [(0.5, level_grid), (1.0, uneven_grid)])
def test_multistep_sde_is_of_second_order_in_law(eta, grid):
    """Though its history carries the noise of the step before: the shift by one step costs only a boundary term."""
    steps = (50, 100, 200)
    errors = variance_errors(dpmpp_2m_sde(eta), PROCESSES["vp"], grid, steps)
    print(f"dpmpp_2m_sde({eta}) {grid.__name__}: slope {fitted(steps, errors):.2f}, last error {errors[-1]:.2e}")
    assert abs(fitted(steps, errors) + 2) < 0.15
    assert errors[-1] < 1e-3 < 1e-2 < variance_errors(ancestral, PROCESSES["vp"], grid, (200,))[0]


def test_improved_euler_is_of_second_order_in_law():
    steps = (25, 50, 100)
    errors = variance_errors(improved_euler, PROCESSES["cosine"], level_grid, steps)
    print(f"improved_euler: slope {fitted(steps, errors):.2f}, last error {errors[-1]:.2e}")
    assert abs(fitted(steps, errors) + 2) < 0.15


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("eta", ETAS)
def test_a_belief_that_stays_put_is_carried_exactly(name, eta):
    """Data in one point: the marginal N(alpha mean, sigma^2) is kept by steps of any length, for every eta."""
    affine, grid = PROCESSES[name], [0.98, 0.5, 0.2, 0.1]
    alpha, sigma = ([float(f(t)) for t in (grid[0], grid[-1])] for f in (affine.alpha, affine.sigma))
    still = lambda x, t, previous=None: torch.full_like(x, MEAN)  # noqa: E731
    mean, var = law_of_run(dpmpp_2m_sde(eta), affine, still, grid, alpha[0] * MEAN, sigma[0] ** 2)
    assert abs(float(mean) - alpha[1] * MEAN) < 1e-14 * max(1, sigma[0])
    assert abs(float(var) / sigma[1] ** 2 - 1) < 1e-13


@pytest.mark.parametrize("name", PROCESSES)
def test_at_eta_zero_it_is_the_ode_solver(name):
    affine = PROCESSES[name]
    x = starts(affine, 1.0)
    runs = [
        sample(affine, on_mixture(affine), x, uniform(6), torch.Generator(), s)[0]
        for s in (dpmpp_2m_sde(0.0), dpmpp_2m)
    ]
    assert (runs[0] - runs[1]).abs().max() < 1e-14


def one_move(solver, affine, t, s):
    rng = torch.Generator().manual_seed(2)
    return solver(affine, on_mixture(affine), starts(affine, t), t, s, rng, None)[0] / affine.scale(s)


@pytest.mark.parametrize("name", PROCESSES)
def test_without_history_it_is_the_ancestral_draw(name):
    affine = PROCESSES[name]
    for t, s in [(1.0, 0.9), (0.6, 0.4), (0.3, 0.29), (0.05, 0.0)]:
        gap = one_move(dpmpp_2m_sde(1.0), affine, t, s) - one_move(ancestral, affine, t, s)
        assert gap.abs().max() < 3e-14
        gap = one_move(dpmpp_2m_sde(0.9), affine, t, s) - one_move(ancestral, affine, t, s)
        assert t == 1.0 or float(affine.sigma(s)) == 0 or gap.abs().max() > 1e-5


@pytest.mark.parametrize("name", ["subvp", "ve", "cosine", "flow"])
def test_all_processes_are_one_on_shared_levels(name):
    def run(affine):
        grid, rng = level_grid(affine, 20), torch.Generator().manual_seed(3)
        return sample(affine, on_mixture(affine), starts(affine, grid[0]), grid, rng, dpmpp_2m_sde())[0] / affine.scale(
            grid[-1]
        )

    assert (run(PROCESSES[name]) - run(PROCESSES["vp"])).abs().max() < 1e-12


@pytest.mark.parametrize("solver", [dpmpp_2m_sde(1.0), improved_euler], ids=["multistep", "improved"])
@pytest.mark.parametrize("name", ["vp", "ve"])
def test_whole_runs_end_on_the_belief_in_both_precisions(solver, name):
    affine = PROCESSES[name]
    for dtype in (torch.float64, torch.float32):
        x = starts(affine, 1.0).to(dtype)
        x, belief = sample(affine, on_mixture(affine), x, uniform(30), torch.Generator().manual_seed(0), solver)
        assert x.dtype == dtype and x.isfinite().all() and belief.isfinite().all()
        if name == "vp" and solver is not improved_euler:
            assert (x - belief).abs().max() < 1e-6


def widening(affine, m, t, s):
    """dx = (f x - g^2 score) dt without its noise carries x - alpha mean in proportion to variance / alpha of G."""
    ratio = [marginal_moments(affine, u)[1] / float(affine.alpha(u)) for u in (t, s)]
    return marginal_moments(affine, s)[0] + (m - marginal_moments(affine, t)[0]) * ratio[1] / ratio[0]


@pytest.mark.parametrize("name, start", [("ve", 1.0), ("flow", 0.99)])
def test_adaptive_steps_follow_the_tolerance(name, start):
    """Its drift alone against the closed form: the error falls with the tolerance, which costs evaluations."""
    affine, span = PROCESSES[name], (start, 0.05)
    x = starts(affine, start, count=4)
    exact, silent = widening(affine, x, *span), lambda law, shape, *_: torch.zeros(shape, dtype=torch.float64)
    errors, costs = [], []
    for tolerance in (0.1, 0.01, 0.001):
        with mock.patch("scigen.state._draw", silent):
            out, belief, cost = adaptive_sde(
                affine, on_gaussian(affine), x, torch.Generator(), *span, tolerance, tolerance
            )
        errors.append(float((out - exact).abs().max()))
        costs.append(cost)
    print(name, errors, costs)
    assert costs[0] < costs[1] < costs[2] and errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.01


@pytest.mark.parametrize("count, width, tolerance", [(1000, 16, 0.03), (4000, 1, 0.1)])
def test_adaptive_steps_keep_the_law(count, width, tolerance):
    """Within four standard errors of the variance (1.1 and 2.2 %), however few coordinates share a step.

    With fresh noise after a rejection 16 coordinates are 11 % too wide, a lone one twofold; with steps free to grow,
    a lone one is eightfold.
    """
    affine, span, rng = PROCESSES["flow"], (0.99, 1e-2), torch.Generator().manual_seed(0)
    (mean, var), last = marginal_moments(affine, span[0]), marginal_moments(affine, span[1])
    x = mean + var**0.5 * torch.randn(count, width, dtype=torch.float64, generator=rng)
    x, _, cost = adaptive_sde(affine, on_gaussian(affine), x, rng, *span, tolerance, tolerance)
    print("adaptive", float(x.mean()) - last[0], float(x.var()) / last[1] - 1, cost)
    assert abs(float(x.mean()) - last[0]) < 4 * (last[1] / (count * width)) ** 0.5
    assert abs(float(x.var()) / last[1] - 1) < 4 * (2 / (count * width)) ** 0.5


GRID = uniform(6)
STATEFUL = {
    "dpmpp_2m_sde": dpmpp_2m_sde(),
    "improved_euler": improved_euler,
    "analytic": analytic(dict.fromkeys(GRID, {"pos": 0.3})),
    "learned_variance": learned_variance(0.5),
    "gddim": gddim(0.5),
}


@pytest.mark.parametrize("solver", STATEFUL.values(), ids=STATEFUL)
def test_molecules_move_lawfully_whatever_their_batch(solver):
    """Centre of mass, symmetric bonds and padding are kept; row i of a batch is the sample drawn alone."""
    process, denoise = molecules(PROCESSES["vp"]), equivariant(PROCESSES["vp"])
    x = process.source(empty(), Streams(rngs(), SIZES))
    whole, _ = sample(process, denoise, x, GRID, Streams(rngs(3), SIZES), solver)
    lawful(whole)
    for i, n in enumerate(SIZES):
        x = process.source(empty((n,)), Streams(rngs(i, 1), [n]))
        alone, _ = sample(process, denoise, x, GRID, Streams(rngs(3 + i, 1), [n]), solver)
        assert torch.equal(alone["bond"][0], whole["bond"][i, :n, :n])
        assert (alone["pos"][0] - whole["pos"][i, :n]).abs().max() < 1e-12


def test_halves_of_a_rejected_step_are_independent_draws_of_half_the_variance():
    h, (z0, z1) = torch.tensor([0.5]).double(), torch.eye(2, dtype=torch.float64)
    pending = Pending.fresh(h, [z0[None]])  # the coordinates are those of the two draws: a Gram matrix is a covariance
    pending.turn(torch.tensor([False]), h, [z1[None]])
    length, (first,) = pending.top()
    pending.turn(torch.tensor([True]), h, [z1[None]])
    again, (second,) = pending.top()
    assert float(length) == float(again) == 0.25
    gram = torch.cat([first, second]) @ torch.cat([first, second]).T
    assert (gram - 0.25 * torch.eye(2)).abs().max() < 1e-16
    pending.turn(torch.tensor([True]), torch.tensor([0.0625]).double(), [z1[None]])
    assert float(pending.top()[0]) == 0.0625 and (pending.top()[1][0] - 0.25 * z1).abs().max() < 1e-16


def test_an_adaptive_sample_does_not_depend_on_its_batch():
    affine, mask = PROCESSES["vp"], torch.arange(4)[None] < torch.tensor([[4], [2], [3]])
    process = Product({"pos": affine}, lambda x: x.replace(pos=center(x["pos"], x.mask)))
    x = process.source(State({"pos": torch.zeros(3, 4, 2).double(), "atom": torch.zeros(3, 4).long()}, mask), rngs())
    denoise = lambda x, t, previous=None: {"pos": on_gaussian(affine)(x["pos"], t)}  # noqa: E731
    whole, belief, _ = adaptive_sde(process, denoise, x, rngs(), rtol=0.1, atol=0.1)
    alone, _, _ = adaptive_sde(process, denoise, x.map(lambda y: y[1:2]), rngs(1, 1), rtol=0.1, atol=0.1)
    assert (whole["pos"][1] - alone["pos"][0]).abs().max() < 1e-12
    assert whole["pos"].sum(1).abs().max() < 1e-12 and not whole["pos"][~mask].any() and set(belief) == {"pos"}


def test_what_cannot_be_solved_is_refused():
    affine, rng, x = PROCESSES["flow"], torch.Generator(), torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="`eta` must be at least 0, got -1"):
        dpmpp_2m_sde(-1.0)
    tokens = Product({"pos": affine, "atom": uniform_tokens(3, keep_of(affine))})
    with pytest.raises(ValueError, match="`atom` follows a Categorical"):
        adaptive_sde(tokens, None, None, rng)
    with pytest.raises(ValueError, match="has no noise at"):
        adaptive_sde(Affine(torch.log1p, lambda t: torch.zeros_like(t)), None, x, rng)
    with pytest.raises(ValueError, match="`start` must lie"):
        adaptive_sde(affine, None, x, rng, start=0.1, stop=0.5)
    with pytest.raises(ValueError, match="take the belief"):
        adaptive_sde(affine, None, x, rng, stop=0.0)
    with pytest.raises(ValueError, match="alpha is 0"):
        adaptive_sde(affine, on_gaussian(affine), x, rng)
    with pytest.raises(ValueError, match="alpha is 0"):
        improved_euler(affine, on_gaussian(affine), x, 1.0, 0.9, rng, None)
    broken = lambda x, t, previous=None: torch.full_like(x, torch.nan)  # noqa: E731
    with pytest.raises(NumericError, match="no step meets"):
        adaptive_sde(affine, broken, x, rng, start=0.9, stop=0.1)
