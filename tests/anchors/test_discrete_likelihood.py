"""Scores and bounds of token chains: inverses, minimisers, and bounds that exact beliefs make equalities (float64)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scigen import oracle
from scigen.likelihood.categorical import (
    chain_nelbo,
    continuous_nelbo,
    enumerated_chain_nelbo,
    enumerated_masked_nelbo,
)
from scigen.objective.discrete import (
    jump_kl,
    prior_kl,
)
from scigen.process.affine import cosine, rectified, ve, vp
from scigen.process.categorical import Categorical, absorbing, keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.state import State, mirror, pair_mask
from tests.anchors.problems import fitted
from tests.anchors.token_laws import JOINT, KEEP, kinds, noised, padded, states

SCHEDULES = {"flow": keep_of(rectified()), "cosine": keep_of(cosine()), "vp": keep_of(vp()), "late": lambda t: 1 - t**3}
ONE = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)
X3 = states(3, 3)  # all data of three tokens
every_kind = pytest.mark.parametrize("kind", kinds())


def random_beliefs(process, shape, seed=0, dtype=torch.float64):
    p = torch.rand(*shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.05
    return torch.nn.functional.pad(p / p.sum(-1, keepdim=True), (0, len(process.m) - 3)).to(dtype)


@every_kind
@pytest.mark.parametrize("t", [1e-4, 0.1, 0.5, 0.9, 0.999])
def test_ratios_are_those_of_the_marginals_and_give_the_belief_back(kind, t):
    process = kinds()[kind]
    joint, k = padded(process, JOINT), len(process.m)
    x, p = states(k, 3), noised(process, joint, t)
    belief = oracle.tokens(process, joint)(x, t).nan_to_num()
    ratios = process.ratios(x, belief, t)
    for i in range(3):
        for y in range(k):
            there = x.clone()
            there[:, i] = y
            index = (there * k ** torch.tensor([2, 1, 0])).sum(-1)
            known = (p > 0) & (process.m[x[:, i]] > 0)  # an unmasked token knows of no other origin
            assert (ratios[:, i, y] * p - p[index])[known].abs().max() < 1e-14 / min(t, 1 - t)
    assert (process.belief_of(x, ratios, t) - belief)[p > 0].abs().max() < 1e-13 / (1 - t)


@every_kind
def test_scores_are_finite_at_both_ends(kind):
    process = kinds()[kind]
    k = len(process.m)
    x, belief = torch.arange(k), random_beliefs(process, (k,))
    at_source = process.ratios(x, belief, 1.0)
    for x_t in range(k):
        if process.m[x_t] > 0:  # nothing is left of the data: m(y) / m(x_t)
            assert (at_source[x_t] - process.m / process.m[x_t]).abs().max() < 1e-14
    assert torch.equal(process.ratios(x, belief, 0.0), torch.eye(k).double())
    assert process.belief_of(x, process.ratios(x, belief, 0.0), 0.0).isfinite().all()
    assert process.reverse_rates(x, belief, 0.0).isfinite().all()
    for t, s in ((1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.5)):
        p = process.posterior(x, belief, t, s)
        assert p.isfinite().all() and (p.sum(-1) - 1).abs().max() < 1e-14
    with pytest.raises(ValueError, match="say nothing of the data at keep = 0"):
        process.belief_of(x, at_source, torch.tensor([1.0] * k))


@every_kind
def test_ratios_survive_float32(kind):
    process = kinds()[kind]
    x, belief = torch.tensor([[0, 1, 2]]).expand(5, 3), random_beliefs(process, (5, 3))
    x = torch.where(torch.arange(3) == 2, len(process.m) - 1, x) if kind == "absorbing" else x
    for t in (0.2, 0.8):
        exact = process.ratios(x, belief, t)
        single = process.ratios(x, belief.float(), torch.full((5,), t))
        assert single.dtype == torch.float32 and (single - exact).abs().max() < 1e-5 * exact.max()
        possible = process.belief_of(x, exact, t)
        assert (process.belief_of(x, single, t) - possible).abs().max() < 1e-5
    assert process.ratios(x, belief.bfloat16(), 0.5).dtype == torch.float32


@every_kind
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_token_is_bounded_by_its_own_surprise_at_any_number_of_steps(kind, schedule):
    """Exact beliefs: the bound of a chain of 1, 2 or 7 steps is -log p(x0), whatever the schedule."""
    process = Categorical(kinds()[kind].m, SCHEDULES[schedule])
    exact = oracle.tokens(process, padded(process, ONE))
    if kind == "absorbing" and schedule == "vp":  # a data token at t = 1 is impossible under m
        assert enumerated_chain_nelbo(process, exact, states(3, 1), [1.0, 0.0]).isinf().all()
        return
    for grid in ([1.0, 0.0], [1.0, 0.4, 0.0], np.linspace(1, 0, 8).tolist()):
        bound = enumerated_chain_nelbo(process, exact, states(3, 1), grid)
        gap = bound + ONE.log()
        if schedule == "vp":  # q(x_1 | x0) is not m: the mismatch KL(p_1 || m) is in the bound, on average
            p_1 = process.law(padded(process, ONE), 1.0)
            assert abs(float((ONE * gap).sum() - (p_1 * (p_1 / process.m).log()).sum())) < 1e-14
        else:
            assert gap.abs().max() < 2e-15


@every_kind
def test_dependent_tokens_leave_a_gap_of_first_order(kind):
    """The steps draw tokens in parallel: bound + log p falls like 1 / steps, and on average it never is negative."""
    process, steps = kinds()[kind], (8, 16, 32)
    exact = oracle.tokens(process, padded(process, JOINT))
    surprise = -JOINT.reshape(-1).log()
    gaps = []
    for n in steps:
        gap = enumerated_chain_nelbo(process, exact, X3, np.linspace(1, 0, n + 1).tolist()) - surprise
        gaps.append(float((JOINT.reshape(-1) * gap).sum()))
    print(kind, gaps, fitted(steps, gaps))
    assert min(gaps) > 0 and -1.1 < fitted(steps, gaps) < -0.8


def test_masked_bound_is_the_surprise_of_three_tokens():
    """Any-order identity: exact conditionals of an arbitrary joint, every mask enumerated."""
    process = absorbing(3, KEEP)
    bound = enumerated_masked_nelbo(process, oracle.tokens(process, padded(process, JOINT)), X3)
    assert (bound + JOINT.reshape(-1).log()).abs().max() < 4e-15
    print("masked", float((bound + JOINT.reshape(-1).log()).abs().max()))


@every_kind
@pytest.mark.parametrize("schedule", ["flow", "cosine", "late"])
def test_continuous_bound_is_the_surprise_of_three_tokens(kind, schedule):
    """Jumps are of one token each, so in continuous time dependent tokens leave no gap: quadrature over t, all x_t
    enumerated, every chain and schedule."""
    process = Categorical(kinds()[kind].m, SCHEDULES[schedule])
    joint, k = padded(process, JOINT), len(process.m)
    exact, x, x0 = oracle.tokens(process, joint), states(k, 3), X3[[0, 5, 14, 26]]
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = prior_kl(process, x0).sum(-1)
    for u, w in zip((nodes + 1) / 2, weights / 2):
        t = float(u**3 * (10 - 15 * u + 6 * u**2))  # flat at both ends, where the integrand has logarithms
        slope = 30 * u**2 * (1 - u) ** 2
        every, given = x.expand(len(x0), -1, -1), x0[:, None].expand(-1, len(x), -1)
        chance = process.law(torch.nn.functional.one_hot(given, k).double(), t).gather(-1, every[..., None]).squeeze(-1)
        belief = exact(x, t).nan_to_num().expand(len(x0), -1, -1, -1)
        value = torch.where(chance.prod(-1) > 0, jump_kl(process, given, every, belief, t).sum(-1), 0.0)
        total = total + w * slope * (chance.prod(-1) * value).sum(-1)
    surprise = -JOINT[tuple(x0.T)].log()
    print(kind, schedule, float((total - surprise).abs().max()))
    assert (total - surprise).abs().max() < 1e-6


def graphs():
    """Two graphs of 4 and 2 nodes with symmetric edges, under masks and independent laws."""
    process = Product(
        {"pos": rectified(), "node": absorbing(3, KEEP), "edge": absorbing(2, KEEP)},
        lambda x: x.replace(edge=mirror(x["edge"])),
    )
    rng = torch.Generator().manual_seed(0)
    mask = torch.arange(4)[None] < torch.tensor([4, 2])[:, None]
    edge = mirror(torch.randint(2, (2, 4, 4), generator=rng)) * pair_mask(mask)
    x0 = State({"pos": torch.zeros(2, 4, 3), "node": torch.randint(3, (2, 4), generator=rng), "edge": edge}, mask)
    p_node, p_edge = (
        torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64),
        torch.tensor([0.9, 0.1, 0.0], dtype=torch.float64),
    )

    def denoise(x_t, t, previous=None):
        here = (
            torch.nn.functional.one_hot(x_t["node"], 4).double(),
            torch.nn.functional.one_hot(x_t["edge"], 3).double(),
        )
        return {
            "node": torch.where(x_t["node"][..., None] < 3, here[0], p_node),
            "edge": torch.where(x_t["edge"][..., None] < 2, here[1], p_edge),
        }

    expected = torch.zeros(2, dtype=torch.float64)
    for g, n in enumerate((4, 2)):
        expected[g] -= sum(p_node[x0["node"][g, i]].log() for i in range(n))
        expected[g] -= sum(p_edge[edge[g, i, j]].log() for i in range(n) for j in range(i + 1, n))
    return process, denoise, x0, expected


def test_graphs_count_every_token_once():
    """One step from pure masks draws nothing: the bound is the surprise of real nodes and of each pair once."""
    process, denoise, x0, expected = graphs()
    bound = chain_nelbo(process, denoise, x0, [1.0, 0.0], torch.Generator())
    assert (bound - expected).abs().max() < 1e-14


def test_estimates_are_unbiased():
    """Against the exact values, within four standard errors over many draws of many copies."""
    process, denoise, x0, expected = graphs()
    copies = x0.map(lambda y: y[:1].expand(400, *y.shape[1:]))
    rng = torch.Generator().manual_seed(1)
    for bound in (
        chain_nelbo(process, denoise, copies, [1.0, 0.6, 0.3, 0.0], rng, 2),
        continuous_nelbo(process, denoise, copies, rng, 8),
    ):
        assert bound.shape == (400,) and bound.std() > 0
        assert abs(float(bound.mean() - expected[0])) < 4 * float(bound.std()) / math.sqrt(400)
    tokens, x = uniform_tokens(3, KEEP), X3[5].expand(2000, 3)
    wrong = oracle.tokens(tokens, torch.full((3, 3, 3), 1 / 27, dtype=torch.float64))  # a belief that is not exact
    exact = enumerated_chain_nelbo(tokens, wrong, x[:1], [1.0, 0.5, 0.0])
    drawn = chain_nelbo(tokens, wrong, x, [1.0, 0.5, 0.0], rng)
    assert abs(float(drawn.mean() - exact)) < 4 * float(drawn.std()) / math.sqrt(2000)


def test_bounds_refuse_what_they_cannot_bound():
    late = absorbing(3, keep_of(ve()))
    with pytest.raises(ValueError, match=r"keep = 1, got keep\(0.0\) = 0.99"):
        continuous_nelbo(late, lambda *_: None, X3, torch.Generator())
    with pytest.raises(ValueError, match="Affine has no categorical field"):
        continuous_nelbo(rectified(), lambda *_: None, torch.zeros(2, 3), torch.Generator())
    with pytest.raises(ValueError, match="too many to enumerate"):
        enumerated_chain_nelbo(uniform_tokens(9, KEEP), lambda *_: None, torch.zeros(1, 9).long(), [1.0, 0.0])
    with pytest.raises(ValueError, match="only an absorbing chain"):
        enumerated_masked_nelbo(uniform_tokens(3, KEEP), lambda *_: None, X3)
    assert prior_kl(absorbing(3, keep_of(vp())), X3).isinf().all()  # a data token at t = 1 is impossible under m
    assert not prior_kl(absorbing(3, KEEP), X3).any() and not prior_kl(uniform_tokens(3, KEEP), X3).any()
