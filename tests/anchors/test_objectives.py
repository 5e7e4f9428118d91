"""Training objectives against each other and against least squares in closed form (float64)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scigen.denoiser import epsilon, score, v_target, velocity
from scigen.domains.molecules.process import molecule_process
from scigen.likelihood import elbo, exact, hutchinson
from scigen.likelihood.elbo import rate, step_term
from scigen.objective import even_times, late_times, level_times, lognormal_times, weights
from scigen.objective.hybrid import LossHistory, hybrid_loss, learned_log_variance, variational_term
from scigen.objective.regression import denoising_loss
from scigen.objective.score_matching import implicit
from scigen.objective.targets import belief_of, itself, weight_of
from scigen.process.affine import cosine, rectified, ve, vp
from tests.anchors.problems import MEAN, PROCESSES, VAR, on_gaussian
from tests.nn.problems import MOLECULES

F64 = torch.float64
every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)
NODES = torch.tensor([[1.0], [-1.0]], dtype=F64)  # exact for the mean of a quadratic in a standard normal


def on_nodes(monkeypatch):
    """Noise at +1 and -1 in the two halves of a batch: with a linear belief the batch mean is the exact expectation."""
    monkeypatch.setattr(elbo, "normal", lambda like, rng: NODES.repeat_interleave(len(like) // 2, 0))


TARGETS = {"x0": itself, "epsilon": epsilon, "v": v_target, "score": score, "velocity": velocity}
every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def pairs(affine, t):
    """x0 of mean MEAN and variance VAR and unit x1, uncorrelated, in four points: exact for second moments."""
    x0 = MEAN + VAR**0.5 * torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], dtype=F64)
    x1 = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=F64)
    return x0, x1, affine.noise(x0, x1, t)


@every_process
@every_target
@pytest.mark.parametrize("t", [0.1, 0.6, 0.95])
def test_every_target_is_learned_as_the_conditional_mean(affine, target, t):
    """The least-squares line of a target on x_t, turned back into x0, is the exact belief at any x."""
    x0, _, x_t = pairs(affine, t)
    design = torch.cat([x_t / affine.scale(t), torch.ones_like(x_t)], 1)
    line = torch.linalg.lstsq(design, target(affine, x_t, x0, t)).solution
    x = torch.linspace(-3, 3, 7, dtype=F64)[:, None] * affine.scale(t)
    predicted = torch.cat([x / affine.scale(t), torch.ones_like(x)], 1) @ line
    belief = belief_of(target, affine, x, predicted, t)
    assert (belief - on_gaussian(affine)(x, t)).abs().max() < 1e-9


@every_process
@every_target
def test_gradients_agree_across_targets(affine, target):
    """The gradient of a unit-weight loss on the target is that of a q^2-weighted loss on x0."""
    t = torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=F64)
    x0, _, x_t = pairs(affine, t)
    theta = torch.tensor([0.3, 0.9], dtype=F64, requires_grad=True)
    belief = theta[0] + theta[1] * torch.tanh(x_t)
    plain = (target(affine, x_t, x0, t) - target(affine, x_t, belief, t)).square().sum()
    weighted = (weight_of(target, affine, t)[:, None] * (x0 - belief).square()).sum()
    one, two = (torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in (plain, weighted))
    assert (one / two - 1).abs().max() < 1e-10


@every_process
@every_target
def test_belief_of_inverts_the_target(affine, target):
    t = torch.tensor([0.2, 0.4, 0.6, 0.9], dtype=F64)
    x0, _, x_t = pairs(affine, t)
    assert (belief_of(target, affine, x_t, target(affine, x_t, x0, t), t) - x0).abs().max() < 1e-11


T = torch.linspace(0.05, 0.95, 19, dtype=F64)


@every_process
def test_weights_of_targets_are_the_named_ones(affine):
    logsnr = affine.logsnr(T)
    for target, named in ((epsilon, weights.snr(logsnr)), (score, logsnr.exp() / affine.sigma(T) ** 2)):
        assert (weight_of(target, affine, T) / named - 1).abs().max() < 1e-11
    slope = -affine.diffusion_squared(T) / affine.sigma(T) ** 2
    assert (weight_of(velocity, affine, T) / (affine.alpha(T) * slope / 2) ** 2 - 1).abs().max() < 1e-9
    # Score flow's g^2 on the score is the bound's -SNR' on x0.
    bound = torch.stack([rate(affine, *torch.eye(2, dtype=F64)[:, :1, None], t)[0] for t in T])
    assert (affine.diffusion_squared(T) * weight_of(score, affine, T) / 2 / bound - 1).abs().max() < 1e-11


def test_weights_where_they_meet():
    logsnr = torch.linspace(-8, 8, 33, dtype=F64)
    for affine in (vp(), cosine()):
        assert (weight_of(v_target, affine, T) / (1 + affine.logsnr(T).exp()) - 1).abs().max() < 1e-11
    assert (weight_of(velocity, rectified(), T) * T**2 - 1).abs().max() < 1e-11
    assert (weights.edm(logsnr, 1.0) - (1 + logsnr.exp())).abs().max() < 1e-12
    assert torch.equal(weights.truncated_snr(logsnr, 1e9), 1 + logsnr.exp())
    assert torch.equal(weights.min_snr(logsnr, 5.0), torch.minimum(logsnr.exp(), torch.tensor(5.0)))
    assert (weights.sigmoid(logsnr, 2.0) * (1 + (logsnr - 2).exp()) - logsnr.exp()).abs().max() < 1e-9
    # Min-SNR on x0 with uniform log-SNR is min(1, gamma / SNR) on epsilon: a falling weight, as sigmoid's is.
    for weight in (lambda lam: weights.min_snr(lam, 5.0), lambda lam: weights.sigmoid(lam, 2.0)):
        w = weights.effective(weight(logsnr), logsnr, torch.full_like(logsnr, 0.5))
        assert (w.diff() <= 1e-12).all() and w.max() < 1 + 1e-12


@every_process
def test_uniform_levels_make_the_bound_a_plain_loss(affine):
    """rate / density(t) = (high - low) / 2 |eps - epshat|^2 for t at uniform log-SNR."""
    t = level_times(affine, 64, torch.Generator().manual_seed(0), -6.0, 8.0)
    logsnr = affine.logsnr(t)
    assert (logsnr.sort().values.diff() - 14 / 64).abs().max() < 1e-6 and logsnr.min() > -6 and logsnr.max() < 8
    density = affine.diffusion_squared(t) / affine.sigma(t) ** 2 / 14
    x0, belief = torch.ones(64, 1, dtype=F64), torch.zeros(64, 1, dtype=F64)
    assert (rate(affine, x0, belief, t) / density / (7 * weights.snr(logsnr)) - 1).abs().max() < 1e-8
    assert (weights.effective(weights.snr(logsnr) * 7, logsnr, torch.tensor(1 / 14, dtype=F64)) - 1).abs().max() < 1e-12


def test_laws_of_times():
    rng = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    even = even_times(50, rng()).sort().values
    assert (even.diff() - 0.02).abs().max() < 1e-12 and 0 <= even[0] < 0.02 and torch.equal(
        even, even_times(50, rng()).sort().values
    )
    late = late_times(5000, rng())
    assert abs(float(late.mean()) - 1 / 3) < 1e-3 and abs(float(late.square().mean()) - 1 / 6) < 1e-3
    edm = lognormal_times(ve(1e-3, 1e3), 4000, rng())
    log_sigma = -ve(1e-3, 1e3).logsnr(edm) / 2
    assert abs(float(log_sigma.mean()) + 1.2) < 2e-3 and abs(float(log_sigma.std()) - 1.2) < 5e-3
    with pytest.raises(ValueError, match="`low`"):
        level_times(vp(), 4, rng(), 9.0, 3.0)


def test_denoising_loss_is_l_simple(monkeypatch):
    on_nodes(monkeypatch)
    x0 = (MEAN + VAR**0.5 * NODES).repeat(2, 1)
    for affine in PROCESSES.values():
        loss = denoising_loss(affine, on_gaussian(affine), x0, 0.4, None, weights.snr)
        x1 = NODES.repeat_interleave(2, 0)
        x_t = affine.noise(x0, x1, 0.4)
        eps = epsilon(affine, x_t, on_gaussian(affine)(x_t, 0.4), 0.4)
        assert (loss - (x1 - eps).square()[:, 0]).abs().max() < 1e-12
        irreducible = VAR * float(affine.logsnr(0.4).exp()) / (1 + VAR * float(affine.logsnr(0.4).exp()))
        assert abs(float(loss.mean()) - irreducible) < 1e-12


def test_denoising_loss_counts_each_number_once():
    """On molecules: the same per sample in a wider batch, and the sum of squares over 3 (n - 1) numbers."""
    process, x0 = molecule_process(rectified()), MOLECULES
    shifted = lambda x, t, previous=None: {"pos": x0["pos"] * 0}  # noqa: E731
    loss = denoising_loss(process, shifted, x0, 0.5, torch.Generator().manual_seed(0), weights.snr)
    truth = x0["pos"].square().sum((1, 2)) / (3.0 * (x0.sizes - 1))
    assert (loss - truth).abs().max() < 1e-5  # SNR is 1 at t = 1/2 of flow


# ---- learned variances ----

STEP = [(0.9, 0.5), (0.5, 0.49), (0.2, 0.01)]


@every_process
def test_learned_variance_lies_between_its_ends(affine):
    """v = 0 is `Affine.step`'s own variance, v = 1 that of x_t given x_s."""
    for t, s in STEP:
        still = torch.zeros(64, 1, dtype=F64)
        draws = affine.step(still, still, t, s, torch.Generator().manual_seed(0))
        z = torch.randn(still.shape, generator=torch.Generator().manual_seed(0), dtype=F64)
        small = learned_log_variance(affine, torch.zeros(1, 1, dtype=F64), t, s)
        assert abs(float(small.exp() / ((draws / z) ** 2).mean()) - 1) < 1e-9
        beta = float(affine.sigma(t) ** 2 - (affine.alpha(t) / affine.alpha(s) * affine.sigma(s)) ** 2)
        assert abs(float(learned_log_variance(affine, torch.ones(1, 1, dtype=F64), t, s).exp()) / beta - 1) < 1e-8
    with pytest.raises(ValueError, match="leave some noise"):
        learned_log_variance(rectified(), torch.zeros(1, 1), 0.5, 0.0)


@pytest.mark.parametrize("t, s", STEP)
def test_the_bound_teaches_the_optimal_variance(t, s):
    """On G the gradient in v vanishes where the variance is beta~ + c^2 Var[x0 | x_t], which lies between the ends."""
    affine = vp()
    x0, _, x_t = pairs(affine, t)
    belief = on_gaussian(affine)(x_t, t).requires_grad_()
    (a_t, v_t), (a_s, v_s) = ((float(affine.alpha(u)), float(affine.sigma(u)) ** 2) for u in (t, s))
    beta = v_t - (a_t / a_s) ** 2 * v_s
    tilde, pull = beta * v_s / v_t, a_s * beta / v_t
    best = tilde + pull**2 * VAR * v_t / (a_t**2 * VAR + v_t)
    v_star = math.log(best / tilde) / math.log(beta / tilde)
    assert 0 < v_star < 1
    for v, stationary in ((v_star, True), (v_star + 0.2, False)):
        v = torch.full_like(x0, v).requires_grad_()
        mean_loss = hybrid_loss(affine, x0, x_t, belief, v, t, s, vlb=1.0).mean()
        by_v, by_belief = torch.autograd.grad(mean_loss, [v, belief])
        assert (abs(float(by_v.sum())) < 1e-10) == stationary
        simple = 2 * float(affine.logsnr(t).exp()) * (belief - x0) / len(x0)
        assert (by_belief - simple).abs().max() < 1e-10  # the bound's share of the mean's gradient is stopped


def test_variational_term_is_torch_kl():
    affine, t, s = vp(), 0.6, 0.3
    x0, belief = torch.tensor([[0.3, -1.0]], dtype=F64), torch.tensor([[0.9, 0.1]], dtype=F64)
    log_var = torch.tensor([[-1.0, -2.5]], dtype=F64)
    still = torch.zeros_like(x0)
    base = affine.step(still, still, t, s, torch.Generator().manual_seed(1))
    means = [affine.step(still, x, t, s, torch.Generator().manual_seed(1)) - base for x in (x0, belief)]
    q = torch.distributions.Normal(means[0], (learned_log_variance(affine, still, t, s) / 2).exp())
    p = torch.distributions.Normal(means[1], (log_var / 2).exp())
    ours = variational_term(affine, x0, belief, log_var, t, s)
    assert abs(float(ours - torch.distributions.kl_divergence(q, p).sum())) < 1e-12
    same = variational_term(affine, x0, belief, learned_log_variance(affine, still, t, s), t, s)
    assert (same - step_term(affine, x0, belief, t, s)).abs().max() < 1e-12


def test_loss_history_draws_by_root_mean_square():
    history = LossHistory.empty(3, memory=2)
    assert history.probabilities().tolist() == [1 / 3] * 3
    for value in (9.0, 1.0, 1.0):
        history = history.record(torch.tensor([0, 1, 2]), torch.tensor([value, 2.0, 0.0]))
    assert (history.probabilities() - torch.tensor([1 / 3, 2 / 3, 0], dtype=F64)).abs().max() < 1e-15


# ---- score flow, score matching ----


FIGURES = {0.8: (0.0553, 0.2153), 0.95: (0.0027, 0.0135), 1.0: (0.0, 0.0), 1.1: (0.0088, 0.0538), 1.5: (0.153, 1.345)}


def reverse_sde_moments(affine, k, start, stop, steps=1000):
    """Mean and variance of the reverse SDE whose score is k times G's own, from the exact law at `start`: midpoints."""
    t = torch.linspace(start, stop, 2 * steps + 1, dtype=F64)
    mu, var_t = affine.alpha(t) * MEAN, affine.scale(t, VAR**0.5) ** 2
    pull = affine.drift(t) + affine.diffusion_squared(t) * k / var_t
    push, g2 = affine.diffusion_squared(t) * k * mu / var_t, affine.diffusion_squared(t)
    mean, var = float(mu[0]), float(var_t[0])
    pull, push, g2, h = pull.tolist(), push.tolist(), g2.tolist(), (stop - start) / steps
    for i in range(0, 2 * steps, 2):
        half_mean = mean + h / 2 * (pull[i] * mean - push[i])
        half_var = var + h / 2 * (2 * pull[i] * var - g2[i])
        mean += h * (pull[i + 1] * half_mean - push[i + 1])
        var += h * (2 * pull[i + 1] * half_var - g2[i + 1])
    return mean, var, float(mu[-1]), float(var_t[-1])


@pytest.mark.parametrize("k", FIGURES)
def test_score_flow_bounds_the_divergence(k):
    """KL of the reverse SDE with k times the true score against (1/2) int g^2 E |error|^2 dt, on G under VP."""
    affine, (kl, bound) = vp(), FIGURES[k]
    u, w = np.polynomial.legendre.leggauss(40)
    t = torch.from_numpy(1e-3 + 0.999 * (u + 1) / 2).repeat_interleave(2)
    spread = torch.tensor([[1.0], [-1.0]], dtype=F64).repeat(40, 1)
    x_t = (affine.alpha(t) * MEAN + affine.scale(t, VAR**0.5) * spread[:, 0])[:, None]
    belief = on_gaussian(affine)(x_t, t)
    wrong = belief_of(score, affine, x_t, k * score(affine, x_t, belief, t), t)
    cost = rate(affine, belief, wrong, t).reshape(-1, 2).mean(1)
    total = float((cost * torch.from_numpy(0.999 * w / 2)).sum())
    mean, var, m, v = reverse_sde_moments(affine, k, 1.0, 1e-3)
    divergence = (math.log(var / v) + (v + (m - mean) ** 2) / var - 1) / 2  # KL(p_0 | model)
    assert abs(total - bound) < 5e-4 and abs(divergence - kl) < 5e-4, (divergence, total)
    assert divergence <= total + 1e-9


@pytest.mark.parametrize("sliced", [False, True])
def test_implicit_score_matching_finds_the_score(sliced):
    """Half the Fisher divergence up to the data's constant, on G: least at -(x - mean) / var, gradient included."""
    x = MEAN + VAR**0.5 * NODES
    divergence = hutchinson(torch.ones(1, 2, 1, dtype=F64)) if sliced else exact
    theta = torch.tensor([-1 / VAR, MEAN / VAR], dtype=F64, requires_grad=True)
    at = lambda w: implicit(lambda u: w[0] * u + w[1], x, divergence).mean()  # noqa: E731
    assert torch.autograd.grad(at(theta), theta)[0].abs().max() < 1e-12
    assert abs(at(theta.detach()).item() + 1 / (2 * VAR)) < 1e-12  # minus the Fisher information over two
    other = theta.detach() + torch.tensor([0.3, -0.2], dtype=F64)
    fisher = ((0.3 * x - 0.2) ** 2).mean() / 2
    assert abs(float(at(other) - at(theta.detach()) - fisher)) < 1e-12
