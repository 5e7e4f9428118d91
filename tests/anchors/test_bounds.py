"""Variational bounds against the Gaussian's own log-likelihood, in discrete and continuous time (float64)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scigen.denoiser import from_network
from scigen.domains.molecules.process import molecule_process
from scigen.likelihood import elbo
from scigen.likelihood.elbo import chain_bound, continuous_bound, noise_mixture, prior_term, rate, step_term
from scigen.oracle import gaussian
from scigen.process.affine import rectified, vp
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.learned import affine_of
from tests.anchors.problems import MEAN, PROCESSES, VAR, level_grid, on_gaussian
from tests.nn.problems import MOLECULES, small

F64 = torch.float64
every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)
NODES = torch.tensor([[1.0], [-1.0]], dtype=F64)  # exact for the mean of a quadratic in a standard normal


def on_nodes(monkeypatch):
    """Noise at +1 and -1 in the two halves of a batch: with a linear belief the batch mean is the exact expectation."""
    monkeypatch.setattr(elbo, "normal", lambda like, rng: NODES.repeat_interleave(len(like) // 2, 0))


def log_p(x, blur=0.0):
    return -((x - MEAN) ** 2).sum(1) / (2 * (VAR + blur)) - math.log(2 * math.pi * (VAR + blur)) / 2


POINTS = torch.tensor([[-1.0], [0.2], [0.7], [2.5]], dtype=F64)


def gaps(affine, steps, monkeypatch, low=-9.5, high=9.0):
    """Bound minus -log p(x0) at four points, averaged over the noise exactly."""
    on_nodes(monkeypatch)
    low, high = max(low, float(affine.logsnr(1.0))), min(high, float(affine.logsnr(0.0)))
    bound = chain_bound(affine, on_gaussian(affine), POINTS.repeat(2, 1), level_grid(affine, steps, low, high), None)
    return bound.total.reshape(2, -1).mean(0) + log_p(POINTS)


@every_process
def test_the_chain_bound_is_a_bound_and_tightens(affine, monkeypatch):
    """Its gap falls like 1 / steps, down to the prior's own: KL(p_T | N(0, sigma^2)) pointwise."""
    each = [gaps(affine, n, monkeypatch) for n in (100, 200, 400, 800)]
    assert all((gap > 0).all() for gap in each)
    falls = [float(((a - b) / (b - c)).mean()) for a, b, c in zip(each, each[1:], each[2:])]
    assert 2 < falls[1] < 2.05 < falls[0] < 2.1, falls
    assert (2 * each[3] - each[2]).abs().max() < 2e-3  # extrapolated to no gap but the ends'


@every_process
def test_step_term_is_the_kl_of_two_posteriors(affine):
    """Against the Gaussian KL, means read off `Affine.step` itself and the variance cancelling nowhere by hand."""
    t, s, x0, belief = 0.7, 0.4, torch.tensor([[0.3, -1.0]], dtype=F64), torch.tensor([[0.9, 0.1]], dtype=F64)
    x_t = torch.tensor([[0.5, 0.5]], dtype=F64)
    draw = lambda x: affine.step(x_t, x, t, s, torch.Generator().manual_seed(0))  # noqa: E731
    (a_t, v_t), (a_s, v_s) = ((float(affine.alpha(u)), float(affine.sigma(u)) ** 2) for u in (t, s))
    var = v_s / v_t * (v_t - (a_t / a_s) ** 2 * v_s)
    truth = (draw(x0) - draw(belief)).square().sum() / (2 * var)
    assert abs(float(step_term(affine, x0, belief, t, s)) / float(truth) - 1) < 1e-10


@every_process
def test_rate_is_the_step_as_it_shrinks(affine):
    x0, belief, h = torch.ones(1, 2, dtype=F64), torch.zeros(1, 2, dtype=F64), 1e-5
    small_step = step_term(affine, x0, belief, 0.5 + h / 2, 0.5 - h / 2) / h
    assert abs(float(small_step / rate(affine, x0, belief, 0.5)) - 1) < 1e-7


def test_prior_term_is_a_kl():
    x0 = torch.tensor([[0.3, -1.0]], dtype=F64)
    q = torch.distributions.Normal(vp().alpha(1.0) * x0, vp().sigma(1.0))
    p = torch.distributions.Normal(torch.zeros_like(x0), vp().sigma(1.0))
    assert (prior_term(vp(), x0) - torch.distributions.kl_divergence(q, p).sum(1)).abs() < 1e-15


LOGSNR = (12.0, -8.0)
SCHEDULES = {
    "linear": lambda t: 12 - 20 * t,
    "cubic": lambda t: 12 - 20 * (0.1 * t + 0.9 * t**3),
    "tan": lambda t: 2 - 10 * torch.tan((2 * t - 1) * 1.2) / math.tan(1.2),
}


def quadrature(affine, count=400):
    """The mean of `rate` on G over t by Gauss-Legendre, and over x_t by its own variance."""
    u, w = np.polynomial.legendre.leggauss(count)
    t, w = torch.from_numpy((u + 1) / 2), torch.from_numpy(w / 2)
    x0 = MEAN + VAR**0.5 * torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=F64)  # exact for quadratics in (x0, x1)
    x1 = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=F64)
    grid = lambda v: v.repeat(count)[:, None]  # noqa: E731
    times = t.repeat_interleave(4)
    x_t = affine.noise(grid(x0), grid(x1), times)
    cost = rate(affine, grid(x0), on_gaussian(affine)(x_t, times), times)
    return cost.reshape(count, 4).mean(1), w


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_ends_alone_decide(name):
    """(1/2) log((1 + v SNR_max) / (1 + v SNR_min)) = 5.6432 whatever runs between them."""
    cost, w = quadrature(affine_of(SCHEDULES[name]))
    truth = 0.5 * math.log((1 + VAR * math.exp(12)) / (1 + VAR * math.exp(-8)))
    assert abs(truth - 5.6432) < 5e-5
    assert abs(float((cost * w).sum()) - truth) < 1e-8
    assert cost.std() > 0.1  # only the sum is the same


def test_continuous_bound_is_exact_for_the_exact_belief(monkeypatch):
    """Per point: equal to -log p(x0) but for the ends, which add SNR_min and the blur of order 1 / SNR_max."""
    on_nodes(monkeypatch)
    flow, x0 = rectified(), torch.tensor([[0.2], [2.5]], dtype=F64)
    monkeypatch.setattr(elbo, "uniform", lambda shape, device, rng: torch.full(shape, 0.5))  # midpoints
    out = continuous_bound(flow, on_gaussian(flow), x0.repeat(2, 1), None, last=0.02, draws=500)
    gap = out.total.reshape(2, -1).mean(0) + log_p(x0)
    assert gap.abs().max() < 2e-3, gap


def test_wrong_beliefs_cost_their_error(monkeypatch):
    on_nodes(monkeypatch)
    data, grid = MEAN + VAR**0.5 * NODES.repeat(2, 1), level_grid(vp(), 100, -9.5, 9.0)
    beliefs = [gaussian(vp(), MEAN, k * VAR) for k in (0.5, 1, 2)]
    costs = [float(chain_bound(vp(), belief, data, grid, None).total.mean()) for belief in beliefs]
    entropy = math.log(2 * math.pi * math.e * VAR) / 2
    assert entropy < costs[1] < min(costs[0], costs[2]) - 0.05


def test_a_falling_weight_is_a_mixture_of_bounds():
    """On G with the exact belief: integral of w dL by Gauss-Legendre, against the mixture over noised data."""
    levels = torch.linspace(-8, 12, 20001, dtype=F64)
    bound = lambda lam: 0.5 * torch.log((1 + VAR * lam.exp()) / (1 + VAR * math.exp(-8)))  # noqa: E731
    weight = lambda lam: torch.sigmoid(2 - lam)  # noqa: E731
    u, w = np.polynomial.legendre.leggauss(200)
    lam = torch.from_numpy(2 + 10 * u)
    mse = VAR * lam.exp() / (1 + VAR * lam.exp())
    direct = float((weight(lam) * mse / 2 * torch.from_numpy(10 * w)).sum())
    p = noise_mixture(weight, levels)
    assert (p >= 0).all() and abs(float((p * bound(levels)).sum()) - direct) < 1e-3  # first order in the spacing
    assert abs(float(p.sum()) - float(weight(levels[0]))) < 1e-12
    with pytest.raises(ValueError, match="rises with"):
        noise_mixture(lambda lam: 1 / torch.cosh(lam - 2), levels)  # EDM's bell is no bound


def test_bounds_take_whole_states():
    """A bound of coordinates in (n - 1) 3 dimensions: padding, centre of mass and batch do not show."""
    process = molecule_process(rectified())
    denoise = from_network(small("transformer"), rectified())
    with torch.no_grad():
        out = chain_bound(process, denoise, MOLECULES, [0.9, 0.5, 0.01], torch.Generator().manual_seed(0))
        free = continuous_bound(process, denoise, MOLECULES, torch.Generator().manual_seed(0))
    assert out.total.shape == (4,) and out.total.isfinite().all() and free.total.isfinite().all()
    dim = 3.0 * (MOLECULES.sizes - 1)
    low = dim * (math.log(2 * math.pi) - float(rectified().logsnr(0.01))) / 2
    assert (out.reconstruction > low).all() and (out.prior > 0).all()
    with pytest.raises(ValueError, match="chain_nelbo"):
        chain_bound(uniform_tokens(3, keep_of(vp())), denoise, MOLECULES, [1.0, 0.5], None)
    with pytest.raises(ValueError, match="leave some noise"):
        chain_bound(vp(), denoise, POINTS, [1.0, 0.0], None)
