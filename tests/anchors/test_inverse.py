"""Posterior sampling from linear observations, against Gaussian conditioning."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from scigen import oracle
from scigen.denoiser import from_network
from scigen.domains.molecules.process import blank, molecule_process
from scigen.guidance.interval import interval
from scigen.guidance.inverse import Observation, dps, moment_matching, pigdm
from scigen.process.affine import rectified
from scigen.solver import ddim, dpmpp_2m, sample
from scigen.solver.grids import at_logsnr, late
from scigen.state import Streams
from tests.anchors.problems import (
    COVARIANCES,
    MEANS,
    PROCESSES,
    RAW,
    WEIGHTS,
    fitted,
    level_grid,
    on_mixture,
    starts,
)
from tests.nn.problems import TOLERANCE, gap, noised, orthogonal, small

DOUBLE = {"dtype": torch.float64}
MU = torch.tensor([0.2, -0.3, 0.5], **DOUBLE)
S = torch.tensor([[0.6, 0.25, 0.1], [0.25, 0.5, 0.1], [0.1, 0.1, 0.4]], **DOUBLE)
LAST = torch.tensor([False, False, True])
A = torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.8, -1.0]], **DOUBLE)
Y, NOISE = torch.tensor([0.7, -0.4], **DOUBLE), 0.05
LEVELS = [(name, t) for name in PROCESSES for t in (0.02, 0.5, 0.95)]


def joint(affine, mean, covariance):
    """The exact belief of N(mean, covariance)."""
    return oracle.mixture(affine, torch.ones(1, **DOUBLE), mean[None], covariance[None])


def posterior():
    """Mean and covariance of x0 given A x0 + n = Y: the Schur complement of the joint law of (x0, y)."""
    cross = S @ A.T
    whole = torch.cat([torch.cat([S, cross], 1), torch.cat([cross.T, A @ cross + NOISE * torch.eye(2, **DOUBLE)], 1)])
    seen = torch.tensor([False, False, False, True, True])
    return oracle.condition(torch.cat([MU, A @ MU]), whole, seen, Y)


def linear(var=NOISE, value=Y):
    return Observation(lambda x: x @ A.T.to(x), value, var)


def imputed():
    """The last coordinate known to be 0.9."""
    return Observation(lambda x: x * LAST, torch.tensor([0.0, 0.0, 0.9], **DOUBLE))


def points(affine, t, count=32):
    return torch.cat([starts(affine, t, count), starts(affine, t, count).flip(0)[:, :1]], 1)


def close(affine, t, got, exact, tolerance=1e-12):
    return ((got - exact).abs().max() / max(1.0, float(exact.abs().max()))) < tolerance


@pytest.mark.parametrize("name, t", LEVELS)
def test_moment_matching_is_the_posterior_belief(name, t):
    affine, x = PROCESSES[name], points(PROCESSES[name], t)
    guided = moment_matching(joint(affine, MU, S), affine, linear(), iterations=2)
    assert close(affine, t, guided(x, t), joint(affine, *posterior())(x, t))
    one = moment_matching(joint(affine, MU, S), affine, linear(), iterations=1)(x, t)
    assert t != 0.5 or not close(affine, t, one, joint(affine, *posterior())(x, t), 1e-4)  # two numbers were seen


@pytest.mark.parametrize("name, t", LEVELS)
def test_known_coordinates_are_imputed(name, t):
    """Without noise of its own the system is singular off the known coordinate, where nothing is asked."""
    affine, x = PROCESSES[name], points(PROCESSES[name], t)
    mean, covariance = oracle.condition(MU, S, LAST, torch.tensor([0.9], **DOUBLE))
    assert (covariance - torch.tensor([[0.575, 0.225], [0.225, 0.475]], **DOUBLE)).abs().max() < 1e-15
    got = moment_matching(joint(affine, MU, S), affine, imputed(), iterations=5)(x, t)
    assert (got[:, 2] - 0.9).abs().max() < 1e-12
    assert close(affine, t, got[:, :2], joint(affine, mean, covariance)(x[:, :2], t))


def law_at_end(denoise, mean, covariance, rtol, far=50.0, near=0.02):
    """Mean and covariance, at x_t = x0 + near x1, of the probability-flow ODE started on the exact law at `far`.

    The ODE is affine in x: SciPy's DOP853 on four points gives its map.
    """
    frame = torch.cat([torch.zeros(1, 3, **DOUBLE), torch.eye(3, **DOUBLE)])

    def slope(log_t, x):
        x = torch.from_numpy(x).reshape(4, 3)
        return (x - denoise(x, math.exp(log_t))).reshape(-1).numpy()

    out = solve_ivp(
        slope, (math.log(far), math.log(near)), frame.reshape(-1), method="DOP853", rtol=rtol, atol=rtol / 100
    )
    ends = torch.from_numpy(out.y[:, -1]).reshape(4, 3)
    shift, rows = ends[0], ends[1:] - ends[0]
    start = covariance + far**2 * torch.eye(3, **DOUBLE)
    return mean @ rows + shift, rows.T @ start @ rows


def off_by(rule, rtol):
    """Largest deviation of the sampled mean and covariance from the posterior's, blurred by what noise is left."""
    mean, covariance = posterior()
    got_mean, got = law_at_end(rule(joint(RAW, MU, S), RAW, linear()), mean, covariance, rtol)
    blurred = covariance + 0.02**2 * torch.eye(3, **DOUBLE)
    return float((got_mean - mean).abs().max()), float((got - blurred).abs().max())


def test_the_sampled_posterior_has_the_right_mean_and_covariance():
    assert max(off_by(moment_matching, 1e-9)) < 1e-8


@pytest.mark.parametrize("rule", [dps, pigdm])
def test_the_rules_that_guess_the_spread_sample_another_law(rule):
    assert max(off_by(rule, 1e-4)) > 1e-2


def test_a_solver_of_ours_reaches_it_at_its_own_order():
    affine, covariance, errors, steps = PROCESSES["vp"], posterior()[1], [], (16, 32, 64)
    guided = moment_matching(joint(affine, MU, S), affine, linear())
    frame = torch.cat([torch.zeros(1, 3, **DOUBLE), torch.eye(3, **DOUBLE)])

    def marginal(t):
        return affine.alpha(t) ** 2 * covariance + affine.sigma(t) ** 2 * torch.eye(3, **DOUBLE)

    for n in steps:
        grid = level_grid(affine, n)
        ends, _ = sample(affine, guided, frame, grid, torch.Generator(), dpmpp_2m)
        rows = ends[1:] - ends[0]
        errors.append(float((rows.T @ marginal(grid[0]) @ rows - marginal(grid[-1])).abs().max()))
    assert -2.6 < fitted(steps, errors) < -1.7 and errors[-1] < 3e-3


@pytest.mark.parametrize("name, t", LEVELS)
@pytest.mark.parametrize("std", [1.0, 0.7])
def test_pigdm_is_exact_for_the_spread_it_assumes(name, t, std):
    affine, x = PROCESSES[name], points(PROCESSES[name], t)
    prior = joint(affine, MU, std**2 * torch.eye(3, **DOUBLE))
    exact = moment_matching(prior, affine, linear(), iterations=2)(x, t)
    assert close(affine, t, pigdm(prior, affine, linear(), std=std)(x, t), exact)
    assert not close(affine, t, pigdm(prior, affine, linear(), std=1.3)(x, t), exact, 1e-4) or t == 0.02


@pytest.mark.parametrize("name, t", LEVELS)
def test_dps_overshoots_by_the_variance_it_leaves_out(name, t):
    """V A' (y - A x0) / var, with V from the oracle."""
    affine, x = PROCESSES[name], points(PROCESSES[name], t)
    prior = joint(affine, MU, S)
    v = oracle.mixture_covariance(affine, torch.ones(1, **DOUBLE), MU[None], S[None], x, t)
    x0 = prior(x, t)
    shift = torch.einsum("bij,kj,bk->bi", v, A, Y - x0 @ A.T) / NOISE
    assert close(affine, t, dps(prior, affine, linear())(x, t), x0 + shift)
    assert close(affine, t, dps(prior, affine, linear(), weight=0.5)(x, t), x0 + shift / 2)


ALONG, SEEN, BLUR = torch.tensor([[1.0, -0.5]], **DOUBLE), torch.tensor([0.6], **DOUBLE), 0.1


def mixture_posterior():
    """Weights, means and covariances of M given one noisy number: each component conditioned, reweighed by its odds."""
    parts = []
    for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES):
        cross, var = c @ ALONG.T, ALONG @ c @ ALONG.T + BLUR
        law = oracle.condition(
            torch.cat([m, ALONG @ m]),
            torch.cat([torch.cat([c, cross], 1), torch.cat([cross.T, var], 1)]),
            torch.tensor([False, False, True]),
            SEEN,
        )
        parts.append((w * torch.distributions.Normal(ALONG @ m, var[0].sqrt()).log_prob(SEEN).exp()[0], *law))
    weights, means, covariances = (torch.stack(x) for x in zip(*parts))
    return weights / weights.sum(), means, covariances


def draw_mixture(weights, means, covariances, count, rng):
    k = torch.multinomial(weights, count, True, generator=rng)
    z = torch.randn(count, 2, 1, generator=rng, **DOUBLE)
    return means[k] + (torch.linalg.cholesky(covariances)[k] @ z)[..., 0]


def test_on_a_mixture_moment_matching_errs_least_and_vanishes_with_the_noise():
    """Root mean square error of the belief over the exact posterior's own x_t; the Gaussian step is one moment deep."""
    law, rng = mixture_posterior(), torch.Generator().manual_seed(0)
    flow, seen = PROCESSES["flow"], Observation(lambda x: x @ ALONG.T.to(x), SEEN, BLUR)
    x0, z = draw_mixture(*law, 2000, rng), torch.randn(2000, 2, generator=rng, **DOUBLE)
    levels = (-3.0, 0.0, 3.0, 6.0)
    errors = {"none": [], "dps": [], "pigdm": [], "moment matching": []}
    for t in at_logsnr(flow, levels):
        x, prior = flow.noise(x0, z, t), on_mixture(flow)
        exact = oracle.mixture(flow, *law)(x, t)
        rules = (prior, dps(prior, flow, seen), pigdm(prior, flow, seen), moment_matching(prior, flow, seen))
        for row, rule in zip(errors.values(), rules):
            row.append(float((rule(x, t) - exact).square().sum(1).mean().sqrt()))
    for name, row in errors.items():
        print(f"{name:16s}", *(f"{level:+.0f}: {e:.2e}" for level, e in zip(levels, row)))
    for k in range(len(levels)):
        assert errors["moment matching"][k] < min(row[k] for name, row in errors.items() if name != "moment matching")
    assert errors["moment matching"][-1] < 1e-5 and errors["dps"][0] > 1 > 2 * errors["none"][0]


def test_each_sample_has_its_own_observation():
    x, t = points(RAW, 0.5, 3), torch.tensor([0.3, 0.6, 0.9], **DOUBLE)
    y, var = torch.tensor([[0.1, 0.2], [1.0, -1.0], [0.0, 0.3]], **DOUBLE), torch.tensor([0.0, 0.05, 2.0], **DOUBLE)
    whole = moment_matching(on_three(), RAW, linear(var, y))(x, t)
    for k in range(3):
        alone = moment_matching(on_three(), RAW, linear(float(var[k]), y[k : k + 1]))(x[k : k + 1], float(t[k]))
        assert (whole[k] - alone[0]).abs().max() < 1e-13


def on_three():
    """A prior with structure: the mixture in two coordinates, a Gaussian in the third."""
    two, one = on_mixture(RAW), oracle.gaussian(RAW, 0.1, 0.3)
    return lambda x, t, previous=None: torch.cat([two(x[:, :2], t), one(x[:, 2:], t)], 1)


@pytest.mark.parametrize("rule", [moment_matching, pigdm, dps])
def test_single_precision_follows_double(rule):
    affine = PROCESSES["vp"]
    for t in (0.95, 0.5, 1e-3):
        x = points(affine, t)
        double, single = (rule(joint(affine, MU, S), affine, linear())(y, t) for y in (x, x.float()))
        assert single.dtype == torch.float32 and close(affine, t, single.double(), double, 1e-4)


def test_an_offset_of_the_operator_is_an_offset_of_the_data():
    x = points(RAW, 0.5)
    moved = Observation(lambda x: x @ A.T.to(x) + 3.0, Y + 3.0, NOISE)
    a, b = (moment_matching(joint(RAW, MU, S), RAW, seen)(x, 0.5) for seen in (moved, linear()))
    assert (a - b).abs().max() < 1e-13


def test_an_observed_belief_stays_finite_at_the_ends():
    """No noise left: nothing to correct. A pure source: refused by name."""
    prior, x = joint(rectified(), MU, S), points(rectified(), 0.5)
    for t in (1 - 1e-6, 1e-6, 1e-12):
        got = moment_matching(prior, rectified(), imputed())(x, t)
        assert got.isfinite().all() and (got[:, 2] - 0.9).abs().max() < 1e-6
    for rule in (moment_matching, pigdm):
        with pytest.raises(ValueError, match="alpha is 0"):
            rule(prior, rectified(), linear())(x, 1.0)
    with pytest.raises(ValueError, match="`dps` needs a positive `var`"):
        dps(prior, rectified(), imputed())
    with pytest.raises(ValueError, match="`iterations` must be at least 1"):
        moment_matching(prior, rectified(), linear(), iterations=0)


def scaffold(value):
    """Three atoms of each molecule, wherever its centre is: their positions about their own middle."""

    def middle(pos):
        return pos[:, :3] - pos[:, :3].mean(1, keepdim=True)

    return Observation(middle, middle(value), 1e-4)


@pytest.mark.parametrize("kind", ["transformer", "e3nn"])
@pytest.mark.parametrize("rule", [moment_matching, pigdm, dps])
def test_networks_are_guided_equivariantly_and_only_where_asked(kind, rule):
    flow, x, q = rectified(), noised(torch.float64), orthogonal(-1, torch.float64)
    process = molecule_process(flow)
    plain, seen = from_network(small(kind, torch.float64), flow), noised(torch.float64, seed=9)["pos"]
    with torch.no_grad():
        out, was = rule(plain, process, scaffold(seen))(x, 0.4), plain(x, 0.4)
    turned = rule(plain, process, scaffold(seen @ q))(x.replace(pos=x["pos"] @ q), 0.4)
    assert gap(turned, {**out, "pos": out["pos"] @ q}, x.mask) < TOLERANCE[torch.float64]
    assert gap({"atom": out["atom"], "bond": out["bond"]}, was, x.mask) < 1e-12  # tokens pass through
    assert (out["pos"] - was["pos"]).abs().max() > 1e-3
    assert out["pos"].sum(1).abs().max() < 1e-11 * out["pos"].abs().max() and not out["pos"][~x.mask].any()


@pytest.mark.parametrize("kind", ["transformer", "e3nn"])
def test_a_network_samples_molecules_around_a_scaffold_in_inference_mode(kind):
    """Before training the belief is alpha y, exact for white noise as data: the scaffold must be there to its error."""
    flow, sizes = rectified(), [9, 7]
    process, like = molecule_process(flow), blank(sizes)
    seen = scaffold(torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(5)))
    streams = lambda: Streams([torch.Generator().manual_seed(k) for k in (1, 2)], sizes)  # noqa: E731
    plain, misses = from_network(small(kind, silent=True), flow), {}
    with torch.inference_mode():
        guided = interval(moment_matching(plain, process, seen, iterations=3), plain, flow)
        for name, denoise in {"plain": plain, "guided": guided}.items():
            x, belief = sample(process, denoise, process.source(like, streams()), late(6, 0.1), streams(), ddim())
            assert all(v.isfinite().all() for v in belief.values())
            misses[name] = float(seen.residual(belief["pos"]).square().mean().sqrt())
    assert misses["plain"] > 0.5 and misses["guided"] < 0.02  # its noise is of 0.01
