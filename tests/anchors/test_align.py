"""The chain as a policy: densities, gradients and optima against closed forms, by algebra and quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from scigen import oracle
from scigen.align.ddpo import advantages, ddpo_loss, replay, rollout
from scigen.align.dpo import diffusion_dpo_loss, dpo_loss
from scigen.align.policy import kl, log_prob
from scigen.align.value import tilt_weights, value_loss, weighted_loss
from scigen.distill.match import certain
from scigen.process.affine import rectified, vp
from scigen.process.categorical import absorbing, keep_of, uniform_tokens
from scigen.solver import ancestral, ddim
from scigen.solver.grids import uniform
from tests.anchors.problems import MEAN, VAR, law_of_move, on_gaussian


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def column(values):
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1)


# --- policy gradients -------------------------------------------------------------------------------------------------


def test_score_function_gradient_by_quadrature():
    """One move of flow from t = 1 with belief theta: x_s = a theta + sigma z, reward -(x_s - 1)^2."""
    affine, s = rectified(), 0.25
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    theta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x_t = torch.zeros(20, 1, dtype=torch.float64)
    x_s = column(0.75 * 0.3 + 0.25 * nodes)
    logs = log_prob(affine, theta.expand(20, 1), x_t, x_s, 1.0, s)
    reward = -(x_s[:, 0] - 1).square()
    (logs * reward * torch.from_numpy(weights) / math.sqrt(2 * math.pi)).sum().backward()
    assert abs(float(theta.grad) - -2 * 0.75 * (0.75 * 0.3 - 1)) < 1e-13


def test_ddpo_gradient_of_a_chain_is_that_of_its_exact_moments():
    """Reward -(x - 1)^2 at the end of three moves: E r from the propagated mean and variance, differentiated."""
    affine, grid, count = rectified(), [1.0, 0.7, 0.4, 0.1], 200_000
    theta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def policy(x_t, t, previous=None):
        return on_gaussian(affine)(x_t, t) + theta

    mean = torch.zeros((), dtype=torch.float64)
    for t, s in itertools.pairwise(grid):
        a, c, _ = law_of_move(ancestral, affine, on_gaussian(affine), t, s, 1)
        c1 = law_of_move(ancestral, affine, lambda x, t, previous=None: on_gaussian(affine)(x, t) + 1, t, s, 1)[1]
        mean = a * mean + c + (c1 - c) * theta
    (exact,) = torch.autograd.grad(-((mean - 1) ** 2), theta)
    chain = rollout(affine, policy, torch.randn(count, 1, dtype=torch.float64, generator=seeded()), grid, seeded(1))
    reward = -(chain.x[:, 0] - 1).square()
    signal = reward - reward.mean()
    loss = sum(ddpo_loss(replay(affine, policy, m)[0], m.log_prob, signal) for m in chain.transitions)
    (got,) = torch.autograd.grad(-loss, theta)
    spread = 0.03  # four standard errors at this count
    print(f"policy gradient {got:.4f}, exact {exact:.4f}")
    assert abs(float(got - exact)) < spread and abs(float(exact)) > 10 * spread


def test_clipping_stops_what_has_moved_far_enough():
    new = torch.tensor([0.5, 0.5, -0.5, -0.5, 0.1], dtype=torch.float64, requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0], dtype=torch.float64)
    loss = ddpo_loss(new, torch.zeros(5, dtype=torch.float64), advantage, 0.2)
    want = -np.mean([1.2, -math.exp(0.5), math.exp(-0.5), -0.8, 2 * math.exp(0.1)])
    assert abs(float(loss.detach()) - want) < 1e-15
    loss.backward()
    assert ((new.grad != 0) == torch.tensor([False, True, True, False, True])).all()


def test_advantages_are_relative_to_their_group():
    reward = torch.tensor([1.0, 3.0, 10.0, 10.0, 30.0, 50.0], dtype=torch.float64)
    got = advantages(reward, torch.tensor([7, 7, 2, 2, 5, 5]))
    assert torch.equal(got, torch.tensor([-1.0, 1.0, 0.0, 0.0, -1.0, 1.0], dtype=torch.float64))
    assert not advantages(torch.full((7,), 0.1)).any()  # their mean is not quite 0.1
    whole = advantages(reward)
    assert abs(float(whole.mean())) < 1e-15 and abs(float(whole.square().mean()) - 1) < 1e-15


# --- the tilted law ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 8])
@pytest.mark.parametrize("slope, beta", [(1.0, 0.5), (-2.0, 3.0)])
def test_kl_regularised_optimum_shifts_the_mean_by_slope_times_variance_over_beta(steps, slope, beta):
    """Reward `slope` x_0 less beta KL to the reference chain, over shifts of each move's belief: the gradient vanishes
    where theory says, and the end is then the reference's tilted by exp(r / beta). Flow, which forgets its source."""
    affine = rectified()
    grid = [1 - i * 0.9 / steps for i in range(steps + 1)]
    moves = list(itertools.pairwise(grid))
    rows = [law_of_move(ancestral, affine, on_gaussian(affine), t, s, 1) for t, s in moves]
    shifted = lambda x, t, previous=None: on_gaussian(affine)(x, t) + 1  # noqa: E731
    weight = [law_of_move(ancestral, affine, shifted, t, s, 1)[1] - c for (t, s), (_, c, _) in zip(moves, rows)]
    gain = [math.prod(a for a, _, _ in rows[k + 1 :]) for k in range(steps)]  # of the end to each move
    best = [slope * gain[k] * rows[k][2] / (beta * weight[k]) for k in range(steps)]
    theta = torch.tensor(best, dtype=torch.float64, requires_grad=True)

    mean, cost = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    x_t = torch.zeros(1, 1, dtype=torch.float64)
    for k, ((t, s), (a, c, _)) in enumerate(zip(moves, rows)):
        cost = cost + kl(affine, on_gaussian(affine)(x_t, t) + theta[k], on_gaussian(affine)(x_t, t), x_t, t, s)[0]
        mean = a * mean + c + weight[k] * theta[k]
    (gradient,) = torch.autograd.grad(slope * mean - beta * cost, theta)
    assert gradient.abs().max() < 1e-12
    plain, var = 0.0, 0.0
    for a, c, noise in rows:
        plain, var = a * plain + c, a**2 * var + noise
    assert abs(float(mean.detach()) - (plain + slope * var / beta)) < 1e-12
    assert (
        abs(float(cost.detach()) - slope**2 * var / (2 * beta**2)) < 1e-12
    )  # KL of the two ends: the chain wastes none


def test_kl_regularised_optimum_of_tokens_is_the_tilted_table():
    """One move from the masks to the data: reward less beta KL, every outcome enumerated, the gradient in logits."""
    process, beta = absorbing(4, keep_of(rectified())), 0.7
    reference = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0], dtype=torch.float64)
    reward = torch.tensor([1.0, -1.0, 0.5, 0.0], dtype=torch.float64)
    logits = (reference[:4].log() + reward / beta).requires_grad_()
    policy = torch.nn.functional.pad(logits.softmax(0), (0, 1))
    mask, outcomes = torch.full((4, 1), 4), torch.arange(4)[:, None]
    p = log_prob(process, policy.expand(4, 1, 5), mask, outcomes, 1.0, 0.0).exp()
    cost = kl(process, policy.reshape(1, 1, 5), reference.reshape(1, 1, 5), mask[:1], 1.0, 0.0)[0]
    (gradient,) = torch.autograd.grad(p @ reward - beta * cost, logits)
    assert gradient.abs().max() < 1e-15
    untilted = reference[:4].log().requires_grad_()
    p = log_prob(
        process, torch.nn.functional.pad(untilted.softmax(0), (0, 1)).expand(4, 1, 5), mask, outcomes, 1.0, 0.0
    )
    assert torch.autograd.grad(p.exp() @ reward, untilted)[0].abs().max() > 0.1


def test_ddpo_training_reaches_the_tilted_mean():
    """Sampled rewards, replayed densities, a KL to the reference: the end's mean moves by slope var / beta."""
    affine, grid, slope, beta = rectified(), [1.0, 0.5, 0.1], 2.0, 0.5
    base, rng = on_gaussian(affine), seeded()
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def policy(x_t, t, previous=None):
        return base(x_t, t) + theta[0 if t == 1.0 else 1]

    # Steps of the natural gradient: the KL of a move has curvature beta (SNR_s - SNR_t).
    snr = affine.logsnr(torch.tensor(grid, dtype=torch.float64)).exp()
    rate = 0.1 / (beta * snr.diff())
    for _ in range(60):
        chain = rollout(affine, policy, torch.randn(1000, 1, dtype=torch.float64, generator=rng), grid, rng)
        signal = slope * (chain.x[:, 0] - chain.x.mean())
        loss = torch.zeros((), dtype=torch.float64)
        for move in chain.transitions:
            now, belief = replay(affine, policy, move)
            cost = kl(affine, belief, base(move.x_t, move.t), move.x_t, move.t, move.s).mean()
            loss = loss + ddpo_loss(now, move.log_prob, signal) + beta * cost
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= rate * gradient
    rows = [law_of_move(ancestral, affine, base, t, s, 1) for t, s in itertools.pairwise(grid)]
    plain = rows[1][0] * rows[0][1] + rows[1][1]
    var = rows[1][0] ** 2 * rows[0][2] + rows[1][2]
    with torch.no_grad():
        end = rollout(affine, policy, torch.randn(100_000, 1, dtype=torch.float64, generator=rng), grid, rng).x.mean()
    print(f"mean {end:.3f}, tilted {plain + slope * var / beta:.3f}, reference {plain:.3f}")
    assert abs(float(end) - (plain + slope * var / beta)) < 0.05 < 0.3 < slope * var / beta


# --- preferences ------------------------------------------------------------------------------------------------------


def test_bradley_terry_gradient_vanishes_at_the_tilted_table():
    beta, reward = 0.3, torch.tensor([1.0, -0.5, 0.2, 0.0, 2.0], dtype=torch.float64)
    reference = torch.tensor([0.1, 0.3, 0.2, 0.25, 0.15], dtype=torch.float64)

    def gradient(logits):
        logits.requires_grad_()
        implicit = logits.log_softmax(0) - reference.log()
        prefer = torch.sigmoid(reward[:, None] - reward[None])  # Bradley-Terry: how often i beats j
        pairs = reference[:, None] * reference[None] * prefer
        return torch.autograd.grad((pairs * dpo_loss(implicit[:, None], implicit[None], beta)).sum(), logits)[0]

    assert gradient(reference.log() + reward / beta).abs().max() < 5e-17
    assert gradient(reference.log()).abs().max() > 1e-3


def test_diffusion_dpo_starts_at_log_two_and_moves_the_mean_to_the_preferred():
    affine, base, rng = vp(), on_gaussian(vp()), seeded()
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    policy = lambda x_t, t, previous=None: base(x_t, t) + theta  # noqa: E731

    def loss():
        pairs = MEAN + math.sqrt(VAR) * torch.randn(512, 2, dtype=torch.float64, generator=rng)
        better, worse = pairs.max(1, keepdim=True).values, pairs.min(1, keepdim=True).values
        t = 0.05 + 0.9 * torch.rand(512, dtype=torch.float64, generator=rng)
        return diffusion_dpo_loss(affine, policy, base, better, worse, t, rng, beta=2.0)

    first = loss()
    assert abs(float(first.detach()) - math.log(2)) < 1e-15
    for _ in range(150):
        (gradient,) = torch.autograd.grad(loss(), theta)
        with torch.no_grad():
            theta -= 0.1 * gradient
    assert float(theta.detach()) > 0.1 and float(loss().detach()) < math.log(2) - 0.01


# --- values -----------------------------------------------------------------------------------------------------------


def test_weighted_regression_is_least_at_the_tilted_posterior():
    """exp(A / beta) of a linear advantage tilts N(m, v) to N(m + a v / beta, v), whose belief the oracle knows."""
    affine, slope, beta, count, t = vp(), 0.8, 1.0, 200_000, 0.3
    x0 = MEAN + math.sqrt(VAR) * torch.randn(count, 1, dtype=torch.float64, generator=seeded())
    weight = tilt_weights(slope * x0[:, 0], beta, cap=1e9)
    times = torch.full((count,), t, dtype=torch.float64)

    def slope_at(mean):
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        policy = lambda x, t, previous=None: oracle.gaussian(affine, mean, VAR)(x, t) + shift  # noqa: E731
        return float(torch.autograd.grad(weighted_loss(affine, policy, x0, weight, times, seeded(1)), shift)[0])

    assert abs(slope_at(MEAN + slope * VAR / beta)) < 0.02
    assert abs(slope_at(MEAN)) > 0.2


def test_value_gradient_passes_the_whole_chain():
    affine = rectified()
    theta = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    start = torch.randn(6, 1, dtype=torch.float64, generator=seeded())
    shift = lambda x_t, t, previous=None: on_gaussian(affine)(x_t, t) + theta  # noqa: E731
    loss = value_loss(affine, shift, start, uniform(4), seeded(), lambda x0: 3 * x0[:, 0])
    (got,) = torch.autograd.grad(loss, theta)
    ends, step = [], 1e-6  # the chain is affine in theta: a central difference is exact up to rounding
    for side in (1, -1):
        moved = lambda x_t, t, previous=None: on_gaussian(affine)(x_t, t) + 0.5 + side * step  # noqa: E731, B023
        ends.append(value_loss_end(affine, moved, start))
    slope = (ends[0] - ends[1]) / (2 * step)
    assert abs(float(loss.detach())) == pytest.approx(1)  # all ends are positive here
    assert abs(float(got) + float(slope) / float(value_loss_end(affine, shift, start).detach())) < 1e-8


def value_loss_end(affine, denoise, start):
    from scigen.solver import sample

    return sample(affine, denoise, start, uniform(4), seeded(), ddim())[1].mean()


def test_certain_beliefs_make_the_move_the_true_posterior():
    """KL(q(x_s | x_t, x0) | p(x_s | x_t)) of tokens, by enumeration of q: the D3PM term of the ELBO."""
    process, x_t, x0 = uniform_tokens(3, keep_of(vp())), torch.tensor([[1]]), torch.tensor([[2]])
    belief = torch.tensor([[[0.2, 0.5, 0.3]]], dtype=torch.float64)
    keep = {u: process.keep(torch.tensor(u, dtype=torch.float64)) for u in (0.7, 0.3)}
    step = keep[0.7] / keep[0.3]
    eye, m = torch.eye(3, dtype=torch.float64), torch.full((3, 3), 1 / 3, dtype=torch.float64)
    q_s, q_ts = keep[0.3] * eye + (1 - keep[0.3]) * m, step * eye + (1 - step) * m
    q = q_s[2] * q_ts[:, 1] / (q_s[2] @ q_ts[:, 1])
    p = process.posterior(x_t, belief, 0.7, 0.3)[0, 0]
    got = kl(process, certain(process, x0).double(), belief, x_t, 0.7, 0.3)
    assert abs(float(got) - float((q * (q / p).log()).sum())) < 1e-14
