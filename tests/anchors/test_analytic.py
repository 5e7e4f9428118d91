"""The variance of a reverse move: DDPM's bracket, the optimal value between, and its estimate from data."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from scigen.oracle import gaussian_variance, mixture_covariance
from scigen.process.affine import rectified, vp
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, ddim, sample
from scigen.solver.analytic import analytic, belief_error, epsilon_power, learned_variance, variance_of_power
from scigen.solver.grids import uniform
from scigen.state import State, center
from tests.anchors.chain import law_of_run
from tests.anchors.problems import (
    COVARIANCES,
    MEAN,
    MEANS,
    PROCESSES,
    VAR,
    WEIGHTS,
    fitted,
    level_grid,
    marginal_moments,
    moments,
    on_gaussian,
    on_mixture,
    starts,
)


def even(steps, last=1e-3):
    return [1 - (1 - last) * i / steps for i in range(steps + 1)]


def true_variance(affine, grid):
    return {t: float(gaussian_variance(affine, VAR, t)) for t in grid}


def errors(solver, affine, grid):
    """Of mean and variance at the end of a chain that starts on the marginal of G."""
    first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
    end = moments(solver, affine, on_gaussian(affine), grid, *first)
    return end[0] - last[0], end[1] - last[1]


@pytest.mark.parametrize("steps", [2, 5, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", PROCESSES)
def test_the_optimal_variance_is_exact_at_any_number_of_steps(name, eta, steps):
    affine, grid = PROCESSES[name], level_grid(PROCESSES[name], steps)
    mean, var = errors(analytic(true_variance(affine, grid), eta), affine, grid)
    scale = marginal_moments(affine, grid[0])[1]
    assert abs(mean) < 1e-13 * scale and abs(var) < 1e-14 * scale


@pytest.mark.parametrize("steps", [2, 5, 50])
def test_the_last_move_may_reach_the_data(steps):
    """From t = 1 to t = 0 themselves: sigma_0 = 0, and the whole of Var[x0 | x_t] is drawn at the end."""
    flow, grid = PROCESSES["flow"], uniform(steps)
    assert max(map(abs, errors(analytic(true_variance(flow, grid)), flow, grid))) < 1e-14
    assert errors(ancestral, flow, grid)[1] < -0.01


@pytest.mark.parametrize("steps, low, high", [(2, -0.471, 0.452), (5, -0.336, 0.160), (50, -0.084, 0.016)])
def test_beta_tilde_is_always_under_and_beta_always_over(steps, low, high):
    """VP, uniform in t down to 1e-3. The optimum lies between: some learned v in (0, 1) has no error at all."""
    affine, grid = vp(), even(steps)
    found = [errors(learned_variance(v), affine, grid)[1] for v in (0.0, 1.0)]
    assert found == pytest.approx([low, high], abs=6e-4)
    if steps < 50:
        under, over = 0.0, 1.0
        for _ in range(12):
            middle = (under + over) / 2
            under, over = (middle, over) if errors(learned_variance(middle), affine, grid)[1] < 0 else (under, middle)
        assert 0 < under < over < 1 and abs(errors(learned_variance(under), affine, grid)[1]) < 2e-3


def test_each_end_is_optimal_for_its_data():
    """beta~ for data without spread, beta for data of unit variance: neither then has an error (arXiv:2006.11239)."""
    affine, (t, s) = vp(), (0.7, 0.4)
    for var, v in ((0.0, 0.0), (1.0, 1.0)):
        optimal = analytic({t: float(gaussian_variance(affine, var, t))})
        moves = []
        for solver in (optimal, learned_variance(v)):
            moves.append(
                solver(affine, on_mixture(affine), starts(affine, t), t, s, torch.Generator().manual_seed(0), None)[0]
            )
        assert (moves[0] - moves[1]).abs().max() < 1e-14


def run(solver, affine, steps=10):
    grid = level_grid(affine, steps)
    x, _ = sample(affine, on_mixture(affine), starts(affine, grid[0]), grid, torch.Generator().manual_seed(3), solver)
    return x / affine.scale(grid[-1])


@pytest.mark.parametrize("name", PROCESSES)
def test_without_learning_or_variance_they_are_the_chains_known(name):
    affine = PROCESSES[name]
    nothing = dict.fromkeys(level_grid(affine, 10), 0.0)
    assert (run(learned_variance(0.0), affine) - run(ancestral, affine)).abs().max() < 1e-13
    assert (run(analytic(nothing, 0.3), affine) - run(ddim(0.3), affine)).abs().max() < 1e-13
    assert (run(learned_variance(0.7), affine) - run(learned_variance(0.7), PROCESSES["vp"])).abs().max() < 1e-12


@pytest.mark.parametrize("kind", ["learned", "misjudged"])
def test_order_in_law(kind):
    """First order whatever the variance drawn: a learned v of one half, and half of the optimal variance."""
    affine, steps, found = PROCESSES["cosine"], (100, 200), []
    for n in steps:
        grid = level_grid(affine, n)
        first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
        half = {t: var / 2 for t, var in true_variance(affine, grid).items()}
        solver = learned_variance(0.5) if kind == "learned" else analytic(half)
        found.append(abs(float(law_of_run(solver, affine, on_gaussian(affine), grid, *first)[1]) - last[1]))
    print(kind, fitted(steps, found), found)
    assert abs(fitted(steps, found) + solver.order) < 0.15


def test_v_may_be_a_network():
    affine, v = PROCESSES["vp"], torch.tensor([0.0, 1.0], dtype=torch.float64)
    both = run(learned_variance(lambda x_t, t: v.expand_as(x_t)), affine, steps=1)
    for i in (0, 1):
        assert (both[:, i] - run(learned_variance(float(i)), affine, steps=1)[:, i]).abs().max() < 1e-14
    end, belief = sample(
        affine, on_mixture(affine), starts(affine, 1.0), uniform(5), torch.Generator(), learned_variance(1.0)
    )
    assert (end - belief).abs().max() < 1e-12  # beta stays at its size where sigma_s = 0, and is not drawn there


def whitened(count):
    """x0 of G's very moments, and a draw of unit noise without correlation to it: sample means are then exact."""
    z = torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = z - z.mean(0)
    z = z @ torch.linalg.inv(torch.linalg.cholesky(z.T @ z / count)).T
    return MEAN + VAR**0.5 * z[:, :1], z[:, 1:]


@pytest.mark.parametrize("name", PROCESSES)
def test_both_estimates_are_the_variance_of_the_belief(name):
    affine, times = PROCESSES[name], level_grid(PROCESSES[name], 5)
    x0, z = whitened(64)
    with mock.patch("scigen.state._draw", lambda *_: z):
        direct = belief_error(affine, on_gaussian(affine), x0, times, torch.Generator())
        power = variance_of_power(affine, epsilon_power(affine, on_gaussian(affine), x0, times, torch.Generator()))
    for t, expected in true_variance(affine, times).items():
        assert direct[t] == pytest.approx(expected, rel=1e-11)
        assert power[t] == pytest.approx(expected, rel=1e-9)


def test_only_the_direct_estimate_suits_a_wrong_mean():
    """A belief 0.3 off has that error beside the variance; the power of its noise cannot tell (2206.07309)."""
    affine, t = PROCESSES["flow"], 0.5
    x0, z = whitened(64)
    off = lambda x, t, previous=None: on_gaussian(affine)(x, t) + 0.3  # noqa: E731
    with mock.patch("scigen.state._draw", lambda *_: z):
        assert belief_error(affine, off, x0, [t], torch.Generator())[t] == pytest.approx(VAR / (VAR + 1) + 0.09)
        power = variance_of_power(affine, epsilon_power(affine, off, x0, [t], torch.Generator()))
    assert power[t] == pytest.approx(VAR / (VAR + 1) - 0.09)
    assert variance_of_power(affine, {t: 1.5}) == {t: 0.0}


def test_the_estimate_on_a_mixture_restores_its_spread():
    """Three moves on M: the belief's own error, estimated on 4000 points, gives the chain the covariance's trace."""
    affine, grid, rng = PROCESSES["flow"], [0.999, 0.7, 0.4, 0.05], torch.Generator().manual_seed(0)
    k = torch.multinomial(WEIGHTS, 4000, replacement=True, generator=rng)
    z = torch.randn(4000, 2, 1, dtype=torch.float64, generator=rng)
    x0 = MEANS[k] + (torch.linalg.cholesky(COVARIANCES)[k] @ z)[..., 0]
    found = belief_error(affine, on_mixture(affine), x0, grid[:-1], rng)
    x_t = affine.noise(x0, torch.randn(x0.shape, dtype=torch.float64, generator=rng), grid[1])
    exact = mixture_covariance(affine, WEIGHTS, MEANS, COVARIANCES, x_t, grid[1])
    assert found[grid[1]] == pytest.approx(float(exact.diagonal(dim1=1, dim2=2).mean()), rel=0.05)
    spread = {}
    for name, solver in {"analytic": analytic(found), "ancestral": ancestral}.items():
        start = affine.noise(x0, torch.randn(x0.shape, dtype=torch.float64, generator=rng), grid[0])
        spread[name] = float(sample(affine, on_mixture(affine), start, grid, rng, solver)[0].var(0).sum())
    truth = float(affine.noise(x0, torch.randn(x0.shape, dtype=torch.float64, generator=rng), grid[-1]).var(0).sum())
    print("spread", spread, truth)
    assert abs(spread["analytic"] / truth - 1) < 0.06 < 0.2 < abs(spread["ancestral"] / truth - 1)


def test_on_a_state_each_field_has_its_variance():
    """Padding and the centre of mass do not count in the estimate; tokens take their posterior draw."""
    affine = rectified()
    keep = lambda x: x.replace(pos=center(x["pos"], x.mask))  # noqa: E731
    process = Product({"pos": affine, "atom": uniform_tokens(3, keep_of(affine))}, keep)
    mask = torch.arange(5)[None] < torch.tensor([5, 3, 2]).repeat(400)[:, None]
    rng = torch.Generator().manual_seed(0)
    pos = torch.randn(1200, 5, 2, dtype=torch.float64, generator=rng) * VAR**0.5
    x0 = keep(State({"pos": pos, "atom": torch.zeros(1200, 5).long()}, mask))

    def denoise(x_t, t, previous=None):
        a, s = float(affine.alpha(t)), float(affine.sigma(t))
        third = torch.full((*x_t["atom"].shape, 3), 1 / 3, dtype=torch.float64)
        return {"pos": a * VAR / (a**2 * VAR + s**2) * x_t["pos"], "atom": third}

    found = belief_error(process, denoise, x0, [1.0, 0.5], rng)
    assert set(found[0.5]) == {"pos"}
    assert found[1.0]["pos"] == pytest.approx(VAR, rel=0.06)
    assert found[0.5]["pos"] == pytest.approx(VAR / (1 + VAR), rel=0.06)
    for solver in (analytic(found), learned_variance(0.5)):
        x, _ = sample(process, denoise, process.source(x0, rng), [1.0, 0.5, 0.0], rng, solver)
        assert x["pos"].sum(1).abs().max() < 1e-12 and not x["pos"][~mask].any() and x["atom"].max() < 3


@pytest.mark.parametrize("solver", [analytic(dict.fromkeys(uniform(4), 0.1)), learned_variance(0.5)])
def test_single_precision_is_kept(solver):
    affine = PROCESSES["cosine"]
    runs = []
    for dtype in (torch.float64, torch.float32):
        x, rng = starts(affine, 1.0).to(dtype), torch.Generator()
        with mock.patch("scigen.state._draw", lambda law, shape, axes, dtype, *_: torch.ones(shape, dtype=dtype)):
            runs.append(sample(affine, on_mixture(affine), x, uniform(4), rng, solver)[0])
    assert runs[1].dtype == torch.float32 and (runs[0] - runs[1]).abs().max() < 1e-5


def test_bad_settings_are_told():
    with pytest.raises(ValueError, match="`eta` must lie in"):
        analytic({}, eta=2.0)
    with pytest.raises(ValueError, match="`v` must lie in"):
        learned_variance(-0.5)
    affine = PROCESSES["vp"]
    with pytest.raises(ValueError, match="no entry at t=0.5; estimate it"):
        sample(affine, on_mixture(affine), starts(affine, 0.5), [0.5, 0.4], torch.Generator(), analytic({0.6: 0.1}))
