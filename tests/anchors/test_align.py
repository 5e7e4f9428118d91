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
from scigen.process.product import Product
from scigen.solver import ancestral, ddim
from scigen.solver.grids import uniform
from scigen.state import State, center, mirror, normal
from tests.anchors.problems import MEAN, PROCESSES, VAR, law_of_move, on_gaussian

every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def column(values):
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1)


# --- densities --------------------------------------------------------------------------------------------------------


@every_process
@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("t, s", [(1.0, 0.6), (0.5, 0.49), (0.3, 0.01)])
def test_density_of_a_move_is_that_of_the_sampler(affine, eta, t, s):
    """Mean and variance of what `ddim(eta)` draws, solved from the sampler itself, against the density's."""
    denoise = on_gaussian(affine)
    a, c, noise = law_of_move(ddim(eta), affine, denoise, t, s, 1)
    x_t = column(np.linspace(-2, 2, 9)) * affine.scale(t)
    law = torch.distributions.Normal(a * x_t + c, math.sqrt(noise))
    x_s = law.mean + law.stddev * column(np.linspace(-3, 3, 9))
    got = log_prob(affine, denoise(x_t, t), x_t, x_s, t, s, eta)
    assert (got - law.log_prob(x_s)[:, 0]).abs().max() < 1e-11  # the sampler's own solve for c and noise rounds
    each = torch.stack([torch.full((9,), u, dtype=torch.float64) for u in (t, s)])
    assert (log_prob(affine, denoise(x_t, t), x_t, x_s, *each, eta) - got).abs().max() < 1e-12


@pytest.mark.parametrize(
    "process", [uniform_tokens(3, keep_of(vp())), absorbing(3, keep_of(vp()))], ids="uniform mask".split()
)
def test_densities_of_tokens_sum_to_one(process):
    """Two tokens, every x_s enumerated, from every x_t."""
    k = len(process.m)
    pairs = torch.tensor(list(itertools.product(range(k), repeat=2)))
    belief = torch.nn.functional.pad(torch.rand(len(pairs), 2, 3, dtype=torch.float64, generator=seeded()), (0, k - 3))
    belief = belief / belief.sum(-1, keepdim=True)
    total = sum(log_prob(process, belief, pairs, x_s.expand_as(pairs), 0.7, 0.3).exp() for x_s in pairs)
    assert (total - 1).abs().max() < 1e-14


def molecules(affine):
    keep = keep_of(affine)

    def project(x):
        return x.replace(pos=center(x["pos"], x.mask), bond=mirror(x["bond"]) * x.mask[:, None] * x.mask[:, :, None])

    return Product({"pos": affine, "atom": uniform_tokens(3, keep), "bond": uniform_tokens(2, keep)}, project)


def guess(x_t, t, previous=None):
    """A belief of every field that heeds the one before."""
    pos = 0.5 * x_t["pos"] if previous is None else 0.5 * x_t["pos"] + 0.1 * previous["pos"]
    atom = (torch.nn.functional.one_hot(x_t["atom"], 3) * 0.7 + pos.norm(dim=-1, keepdim=True)).double().softmax(-1)
    bond = torch.tensor([0.6, 0.4], dtype=torch.float64).expand(*x_t["bond"].shape, 2)
    return {"pos": pos, "atom": atom, "bond": bond}


def blank(sizes):
    b, n = len(sizes), max(sizes)
    fields = {
        "pos": torch.zeros(b, n, 3).double(),
        "atom": torch.zeros(b, n).long(),
        "bond": torch.zeros(b, n, n).long(),
    }
    return State(fields, torch.arange(n)[None] < torch.tensor(sizes)[:, None])


def cut(x, i, n):
    """Sample i alone, without its padding."""
    narrow = {"pos": x["pos"][i : i + 1, :n], "atom": x["atom"][i : i + 1, :n], "bond": x["bond"][i : i + 1, :n, :n]}
    return State(narrow, x.mask[i : i + 1, :n])


def test_density_of_a_molecule_counts_every_free_number_once():
    """Coordinates: a Gaussian in an orthonormal basis of the 3 (n - 1) centred directions; bonds: one triangle."""
    affine, sizes, t, s = vp(), (4, 2, 1), 0.6, 0.4
    process = molecules(affine)
    x_t = process.source(blank(sizes), seeded())
    belief = guess(x_t, t)
    x_s = process.step(x_t, belief, t, s, seeded(1))
    got = log_prob(process, belief, x_t, x_s, t, s)
    for i, n in enumerate(sizes):
        basis = torch.linalg.svd(torch.eye(n).double() - 1 / n)[0][:, : n - 1]  # orthonormal, each column sums to zero
        var = float(affine.sigma(s) ** 2 * -torch.expm1(affine.logsnr(t) - affine.logsnr(s)))
        y, x0, x = (basis.T @ z[i, :n] for z in (x_t["pos"], belief["pos"], x_s["pos"]))
        twins = [[seeded(k) for k in range(n - 1)] for _ in range(2)]
        mean = affine.step(y, x0, t, s, twins[0]) - math.sqrt(var) * normal(y, twins[1])
        want = torch.distributions.Normal(mean, math.sqrt(var)).log_prob(x).sum()
        atom, bond = (process.parts[k].posterior(x_t[k][i], belief[k][i], t, s) for k in ("atom", "bond"))
        want = want + sum(atom[j, x_s["atom"][i, j]].log() for j in range(n))
        want = want + sum(bond[j, k, x_s["bond"][i, j, k]].log() for j in range(n) for k in range(j + 1, n))
        assert abs(float(got[i] - want)) < 1e-12
        alone, then = cut(x_t, i, n), cut(x_s, i, n)
        assert abs(float(log_prob(process, guess(alone, t), alone, then, t, s) - got[i])) < 1e-12


def test_a_rollout_is_the_samplers_chain_and_replays_to_the_same_density():
    process, grid = molecules(rectified()), [1.0, 0.6, 0.2, 0.05]
    x = process.source(blank((4, 2, 3)), seeded())
    chain = rollout(process, guess, x, grid, seeded(1))
    again, memory = x, None
    rng = seeded(1)
    for t, s in itertools.pairwise(grid):
        again, memory = ancestral(process, guess, again, t, s, rng, memory)
    assert all(torch.equal(chain.x[name], again[name]) for name in again.fields)
    assert len(chain.transitions) == 3 and chain.transitions[0].previous is None
    for move in chain.transitions:
        assert torch.equal(replay(process, guess, move)[0], move.log_prob)
    forgetful = lambda x, t, previous=None: guess(x, t)  # noqa: E731
    assert not torch.equal(replay(process, forgetful, chain.transitions[1])[0], chain.transitions[1].log_prob)


def test_a_read_out_at_the_data_leaves_only_tokens():
    """At s = 0 coordinates are the belief itself; tokens are still drawn and still count."""
    process = molecules(rectified())
    x = process.source(blank((3, 2)), seeded())
    belief = guess(x, 0.2)
    x_s = process.step(x, belief, 0.2, 0.0, seeded(1))
    tokens = Product({k: v for k, v in process.parts.items() if k != "pos"}, process.project)
    got, want = (log_prob(p, belief, x, x_s, 0.2, 0.0) for p in (process, tokens))
    assert torch.equal(got, want) and (got < 0).all()


@every_process
def test_kl_of_a_move_is_the_elbo_weight_on_the_beliefs(affine):
    x_t, t, s = column(np.linspace(-2, 2, 9)), 0.6, 0.3
    a, b = on_gaussian(affine)(x_t, t), column(np.linspace(1, -1, 9))
    snr = [float(affine.logsnr(u).exp()) for u in (t, s)]
    want = (snr[1] - snr[0]) / 2 * (a - b).square()[:, 0]
    assert (kl(affine, a, b, x_t, t, s) / want - 1).abs().max() < 1e-14
    # The same by its definition, E log(p/q), on 40 points of Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    mean, c, noise = law_of_move(ancestral, affine, lambda *_: a[:1], t, s, 1)
    x_s = column(mean * float(x_t[0]) + c + math.sqrt(noise) * nodes)
    here = x_t[:1].expand(40, 1)
    ratio = log_prob(affine, a[:1], here, x_s, t, s) - log_prob(affine, b[:1], here, x_s, t, s)
    assert abs(float(ratio @ torch.from_numpy(weights)) / math.sqrt(2 * math.pi) - float(want[0])) < 1e-8 * (
        1 + want[0]
    )


def test_kl_of_tokens_is_the_sum_over_moves():
    process = uniform_tokens(4, keep_of(vp()))
    p, q = torch.rand(2, 1, 1, 4, dtype=torch.float64, generator=seeded()).softmax(-1)
    x_t = torch.tensor([[2]])
    logs = [[log_prob(process, b, x_t, torch.tensor([[k]]), 0.7, 0.2) for k in range(4)] for b in (p, q)]
    want = sum(a.exp() * (a - b) for a, b in zip(*logs))
    assert abs(float(kl(process, p, q, x_t, 0.7, 0.2) - want)) < 1e-15


def test_kl_of_a_molecule_is_the_mean_log_ratio_of_its_draws():
    """Every field at once, constraints included: E_p log(p / q) over 20,000 draws of one move of one molecule."""
    process, count, t, s = molecules(vp()), 20_000, 0.6, 0.4
    one = process.source(blank((3,)), seeded())
    x_t = one.map(lambda y: y.expand(count, *y.shape[1:]))
    p, q = guess(x_t, t), guess(x_t, t, {"pos": 6 * x_t["pos"]})
    q = {**q, "bond": q["bond"].flip(-1)}
    x_s = process.step(x_t, p, t, s, seeded(1))
    ratio = log_prob(process, p, x_t, x_s, t, s) - log_prob(process, q, x_t, x_s, t, s)
    want = float(kl(process, p, q, x_t, t, s)[0])
    assert abs(float(ratio.mean()) - want) < 4 * float(ratio.std()) / math.sqrt(count) < want / 5


def test_float32_densities():
    affine, denoise = vp(), on_gaussian(vp())
    x_t, x_s = column(np.linspace(-2, 2, 9)), column(np.linspace(-1, 1, 9))
    exact = log_prob(affine, denoise(x_t, 0.5), x_t, x_s, 0.5, 0.4)
    single = log_prob(affine, denoise(x_t, 0.5).float(), x_t.float(), x_s.float(), 0.5, 0.4)
    assert single.dtype == torch.float32 and ((single - exact) / (1 + exact.abs())).abs().max() < 1e-5


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
