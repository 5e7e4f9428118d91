"""The reverse chain as a policy: densities of its moves and divergences of two policies."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from scigen.align.ddpo import replay, rollout
from scigen.align.policy import kl, log_prob
from scigen.process.affine import rectified, vp
from scigen.process.categorical import absorbing, keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, ddim
from scigen.state import State, center, mirror, normal
from tests.anchors.problems import PROCESSES, law_of_move, on_gaussian
from tests.anchors.test_align import column, seeded
from tests.anchors.test_product import empty

every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)


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


def cut(x, i, n):
    """Sample i alone, without its padding."""
    narrow = {"pos": x["pos"][i : i + 1, :n], "atom": x["atom"][i : i + 1, :n], "bond": x["bond"][i : i + 1, :n, :n]}
    return State(narrow, x.mask[i : i + 1, :n])


def test_density_of_a_molecule_counts_every_free_number_once():
    """Coordinates: a Gaussian in an orthonormal basis of the 3 (n - 1) centred directions; bonds: one triangle."""
    affine, sizes, t, s = vp(), (4, 2, 1), 0.6, 0.4
    process = molecules(affine)
    x_t = process.source(empty(sizes), seeded())
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
    x = process.source(empty((4, 2, 3)), seeded())
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
    x = process.source(empty((3, 2)), seeded())
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
    one = process.source(empty((3,)), seeded())
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
