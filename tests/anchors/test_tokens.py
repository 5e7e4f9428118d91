"""Categorical chains against matrix products and exact enumeration (float64)."""

from __future__ import annotations

import pytest
import torch

from scigen import oracle
from scigen.process.affine import rectified
from scigen.process.categorical import absorbing, keep_of, marginal, uniform_tokens
from scigen.solver.grids import uniform
from scigen.state import as_time

FLOW = rectified()
KEEP = keep_of(FLOW)  # 1 - t
P0 = torch.tensor([0.1, 0.55, 0.05, 0.3], dtype=torch.float64)
KINDS = {
    "uniform": uniform_tokens(4, KEEP),
    "marginal": marginal(torch.tensor([5.0, 1.0, 3.0, 1.0]), KEEP),
    "absorbing": absorbing(4, KEEP),
}
GRIDS = {1: [1.0, 0.0], 3: [1.0, 0.7, 0.2, 0.0], 6: [1.0, 0.95, 0.8, 0.5, 0.3, 0.1, 0.0]}


def data_of(process):
    """P0 with no weight on a mask."""
    return torch.nn.functional.pad(P0, (0, len(process.m) - 4))


def between(process, t, s):
    """The forward matrix Q from s up to t, keep_t / keep_s."""
    keep = float(process.keep(as_time(t)) / process.keep(as_time(s)))
    return keep * torch.eye(len(process.m)).double() + (1 - keep) * process.m.expand(len(process.m), -1)


@pytest.mark.parametrize("kind", KINDS)
def test_closed_form_is_the_matrix_product(kind):
    process, product = KINDS[kind], torch.eye(len(KINDS[kind].m)).double()
    times = [0.0, 0.13, 0.2, 0.48, 0.71, 0.9]
    for s, t in zip(times, times[1:]):
        product = product @ between(process, t, s)
    assert (product - between(process, times[-1], 0.0)).abs().max() < 3e-15


@pytest.mark.parametrize("kind", KINDS)
def test_source_law_is_stationary(kind):
    process = KINDS[kind]
    assert (process.m @ between(process, 0.8, 0.3) - process.m).abs().max() < 1e-15
    assert abs(float(process.m.sum()) - 1) < 1e-15


def posterior_matrix(process, belief, t, s):
    """p(x_s | x_t) for every x_t, rows x_t."""
    every = torch.arange(len(process.m))
    return process.posterior(every, belief(every[:, None], t)[:, 0], t, s)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t, s", [(0.9, 0.4), (0.5, 0.49), (1.0, 0.3), (0.3, 0.0)])
def test_posterior_is_bayes(kind, t, s):
    """p(x_s | x_t) ∝ p(x_s) Q_ts(x_s, x_t) when the belief is exact."""
    process = KINDS[kind]
    p_s = data_of(process) @ between(process, s, 0.0)
    bayes = p_s[:, None] * between(process, t, s)
    possible = bayes.sum(0) > 0
    bayes = (bayes / bayes.sum(0)).mT[possible]
    ours = posterior_matrix(process, oracle.tokens(process, data_of(process)), t, s)[possible]
    assert (ours - bayes).abs().max() < 3e-15


def chain(process, belief, grid):
    """Law of the token at the end of the reverse chain that starts from m."""
    p = process.m
    for t, s in zip(grid, grid[1:]):
        p = p @ posterior_matrix(process, belief, t, s).nan_to_num()  # states of no probability have no belief
    return p


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", GRIDS)
def test_reverse_chain_is_exact_at_any_number_of_steps(kind, steps):
    process = KINDS[kind]
    law = chain(process, oracle.tokens(process, data_of(process)), GRIDS[steps])
    assert (law - data_of(process)).abs().sum() / 2 < 3e-15


@pytest.mark.parametrize("kind", ["uniform", "marginal"])
def test_a_wrong_belief_is_seen(kind):
    """A belief that is too sure of itself, the exact one squared: the total variation must show it."""
    process = KINDS[kind]
    exact = oracle.tokens(process, P0)
    law = chain(process, lambda x_t, t: exact(x_t, t) ** 2 / (exact(x_t, t) ** 2).sum(-1, keepdim=True), GRIDS[6])
    assert (law - P0).abs().sum() / 2 > 1e-3


def pair_law(joint, process, grid):
    """Law of two tokens drawn in parallel from their own beliefs, by enumeration of all pairs."""
    k = len(process.m)
    pairs = torch.cartesian_prod(torch.arange(k), torch.arange(k))
    p = (process.m[:, None] * process.m).reshape(-1)
    for t, s in zip(grid, grid[1:]):
        belief = oracle.tokens(process, joint)(pairs, t).nan_to_num()
        each = process.posterior(pairs, belief, t, s)
        p = p @ (each[:, 0, :, None] * each[:, 1, None, :]).reshape(k * k, k * k)
    return p.reshape(k, k)


def test_parallel_draws_of_dependent_tokens_are_first_order():
    """Tokens of one step are drawn independently given x_t: exact for one, an error of order 1 / steps for two."""
    joint = torch.tensor([[0.45, 0.05], [0.05, 0.45]], dtype=torch.float64)
    process = uniform_tokens(2, KEEP)
    errors = [float((pair_law(joint, process, uniform(n)) - joint).abs().sum() / 2) for n in (1, 20, 40, 80)]
    assert abs(errors[0] - 0.4) < 1e-14  # one step gives the product of the marginals
    assert 1.8 < errors[1] / errors[2] < 2.2 and 1.8 < errors[2] / errors[3] < 2.2


def test_absorbing_zeros_are_harmless():
    """An unmasked token stays; a masked one draws from its belief; neither makes a NaN, in float32 too."""
    process = KINDS["absorbing"]
    for dtype in (torch.float32, torch.float64):
        x_t = torch.tensor([0, 3, 4, 4])
        belief = torch.nn.functional.one_hot(torch.tensor([0, 3, 1, 2]), 5).to(dtype)
        p = process.posterior(x_t, belief, 0.6, 0.3)
        expected = torch.tensor(
            [[1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0.5, 0, 0, 0.5], [0, 0, 0.5, 0, 0.5]], dtype=dtype
        )
        assert (p - expected).abs().max() < 1e-6
        end = process.posterior(x_t, belief, 0.3, 0.0)
        assert torch.equal(end.argmax(-1), torch.tensor([0, 3, 1, 2])) and not end[:, 4].any()
