"""Reversible token chains: matrix exponentials, detailed balance, and the laws of `Categorical` as a special case."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scigen.likelihood.categorical import chain_nelbo, enumerated_chain_nelbo
from scigen.objective.discrete import jump_kl, score_entropy, step_kl
from scigen.process.affine import cosine, rectified, vp
from scigen.process.categorical import keep_of, marginal
from scigen.process.product import Product
from scigen.process.transition import ordinal, reversible
from scigen.solver import ancestral, sample
from scigen.solver.discrete import euler_law, tau_leap, with_tokens
from scigen.solver.grids import uniform
from scigen.state import State, mirror
from tests.anchors.problems import fitted

KEEP = keep_of(rectified())
M = torch.tensor([0.5, 0.1, 0.3, 0.1], dtype=torch.float64)
LAW = torch.tensor([0.1, 0.55, 0.05, 0.3], dtype=torch.float64)
PATH = torch.diag(torch.ones(3), 1) + torch.diag(torch.ones(3), -1)
WALKS = {"ordinal": ordinal(4, KEEP), "path": reversible(PATH, KEEP), "weighted": reversible(PATH, KEEP, M)}
every_walk = pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
X = torch.arange(4)


def exact(walk, t):
    """p(x0 | x_t) for every x_t."""
    p = LAW[:, None] * walk.kernel(walk.keep(torch.tensor(t, dtype=torch.float64)))
    return (p / p.sum(0)).mT


@every_walk
def test_kernel_is_the_matrix_exponential(walk):
    scaled = walk.rate / torch.linalg.eigvals(walk.rate).real.abs().sort()[0][1]
    for t in (0.0, 0.2, 0.7, 0.999):
        keep = walk.keep(torch.tensor(t, dtype=torch.float64))
        assert (walk.kernel(keep) - torch.linalg.matrix_exp(-keep.log() * scaled)).abs().max() < 1e-13
    pure = walk.kernel(torch.tensor([0.0, 1.0]))
    assert (pure[0] - walk.m).abs().max() < 1e-14 and (pure[1] - torch.eye(4)).abs().max() < 1e-14


@every_walk
def test_source_is_stationary_and_steps_compose(walk):
    keep = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    q = walk.kernel(keep)
    assert (q.sum(-1) - 1).abs().max() < 1e-14 and (walk.m @ q - walk.m).abs().max() < 1e-14
    assert (walk.kernel(keep[:1] * 0.5)[0] - q[0] @ q[1]).abs().max() < 1e-13
    balance = walk.m[:, None] * q
    assert (balance - balance.mT).abs().max() < 1e-15


def test_a_complete_graph_is_the_categorical_chain():
    """Weights m_i m_j: every posterior, ratio, rate and law of `marginal`."""
    walk, plain = reversible(M[:, None] * M, KEEP, M), marginal(M, KEEP)
    belief = torch.rand(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    belief, x = belief / belief.sum(-1, keepdim=True), X.expand(3, 4)
    t = torch.tensor([0.2, 0.6, 0.97], dtype=torch.float64)
    for a, b in (
        (walk.posterior(x, belief, t, t / 2), plain.posterior(x, belief, t, t / 2)),
        (walk.posterior(x, belief, 1.0, 0.4), plain.posterior(x, belief, 1.0, 0.4)),
        (walk.ratios(x, belief, t), plain.ratios(x, belief, t)),
        (walk.law(belief, t), plain.law(belief, t)),
        (walk.rates_out(x, t), plain.rates_out(x, t)),
        (walk.reverse_rates(x, belief, t), plain.reverse_rates(x, belief, t)),
    ):
        assert (a - b).abs().max() < 1e-12


@every_walk
def test_reverse_chain_is_exact_at_any_number_of_steps(walk):
    for grid in ([1.0, 0.0], [1.0, 0.7, 0.2, 0.0], np.linspace(1, 0, 8).tolist()):
        p = walk.m
        for t, s in zip(grid, grid[1:]):
            p = p @ walk.posterior(X, exact(walk, t), t, s)
        assert (p - LAW).abs().max() < 1e-14


@every_walk
def test_bounds_and_rates_agree_with_the_law(walk):
    """One token: the bound is -log p(x0); flux balances; jumps are short steps; Euler is of first order."""

    def denoise(x, t, previous=None):
        return exact(walk, t)[x]

    bound = enumerated_chain_nelbo(walk, denoise, X[:, None], [1.0, 0.6, 0.3, 0.0])
    assert (bound + LAW.log()).abs().max() < 1e-13
    t, h = 0.4, 1e-6
    p = walk.law(LAW, t)
    out = p[:, None] * walk.reverse_rates(X, exact(walk, t), t)
    assert (out - (p[:, None] * walk.rates_out(X, t)).mT).abs().max() < 1e-14
    belief = M.expand(4, 4)
    short = step_kl(walk, X, X.flip(0), belief, t, t - h) / h
    jump = jump_kl(walk, X, X.flip(0), belief, t)
    assert torch.allclose(short, jump, rtol=1e-4)
    scores = walk.ratios(X.flip(0), belief, t).log()
    assert (score_entropy(walk, X, X.flip(0), scores, t) - jump).abs().max() < 1e-13
    errors = []
    for n in (64, 128):
        q, grid = walk.law(LAW, 0.95), np.linspace(0.95, 0, n + 1)
        for t, s in zip(grid, grid[1:]):
            q = q @ euler_law(walk, X, exact(walk, t), float(t), float(s))
        errors.append(float((q - LAW).abs().sum() / 2))
    assert -1.3 < fitted((64, 128), errors) < -0.7


def test_ordinal_tokens_move_to_neighbours_first():
    q = ordinal(8, KEEP, 0.5).kernel(torch.tensor(0.97))
    far = (torch.arange(8)[:, None] - torch.arange(8)).abs()
    assert q[far == 1].min() > 8 * q[far >= 2].max()
    wide, even = ordinal(8, KEEP, 1e6).kernel(torch.tensor(0.5)), 0.5 * torch.eye(8) + 0.5 / 8
    assert (wide - even).abs().max() < 1e-11


@pytest.mark.parametrize("solver", [ancestral, with_tokens(ancestral, tau_leap)], ids=["ancestral", "tau_leap"])
@pytest.mark.parametrize("affine", [rectified(), cosine(), vp()], ids=["flow", "cosine", "vp"])
def test_bond_orders_walk_in_a_product(solver, affine, rng):
    """Symmetric pair tokens under a walk: drawn, noised, bounded, and low precision does not leave the table."""
    process = Product({"bond": ordinal(4, keep_of(affine))}, lambda x: x.replace(bond=mirror(x["bond"])))
    x0 = State({"bond": mirror(torch.randint(4, (2, 5, 5), generator=rng))}, torch.ones(2, 5, dtype=torch.bool))

    def denoise(x_t, t, previous=None):
        return {"bond": LAW.bfloat16().expand(2, 5, 5, 4)}

    grid = [1 - 1e-3, *uniform(5)[1:]]
    x, _ = sample(process, denoise, process.source(x0, rng), grid, rng, solver)
    noised = process.noise(x0, x0, torch.tensor([0.0, 0.7]), rng)
    assert (
        torch.equal(x["bond"], x["bond"].mT) and x["bond"].max() < 4 and torch.equal(noised["bond"][0], x0["bond"][0])
    )
    assert chain_nelbo(process, denoise, x0, [1.0, 0.5, 0.0], rng).isfinite().all()


def test_bad_weights_are_told():
    with pytest.raises(ValueError, match="symmetric and not negative"):
        reversible(torch.triu(torch.ones(3, 3)), KEEP)
    with pytest.raises(ValueError, match="symmetric and not negative"):
        reversible(-torch.ones(3, 3), KEEP)
    with pytest.raises(ValueError, match="out of reach"):
        reversible(torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)), KEEP)
    with pytest.raises(ValueError, match="`width` must be positive, got 0"):
        ordinal(4, KEEP, 0.0)
