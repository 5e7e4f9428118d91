"""Reverse rates, tau-leaping, confidence-ordered unmasking and the corrector, against enumerated laws (float64)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scigen import oracle
from scigen.process.affine import cosine, rectified, vp
from scigen.process.categorical import absorbing, keep_of, marginal, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, ddim, dpmpp_2m, heun, sample
from scigen.solver.discrete import (
    euler_law,
    euler_tokens,
    renoise_law,
    tau_leap,
    tau_leap_law,
    token_corrector,
    with_tokens,
)
from scigen.solver.grids import uniform
from scigen.solver.unmasking import by_confidence, of_best, of_draw
from scigen.state import State, Streams
from tests.anchors.problems import fitted
from tests.anchors.test_product import SIZES, empty, equivariant, lawful, molecules, rngs, separate
from tests.anchors.token_laws import (
    JOINT,
    KEEP,
    distance,
    kinds,
    law_of_chain,
    noised,
    padded,
    product,
    states,
)

FIVE = torch.tensor([0.1, 0.3, 0.05, 0.35, 0.2], dtype=torch.float64)
STEPS = (32, 64, 128)
every_kind = pytest.mark.parametrize("kind", kinds())


def posterior_law(process, x_t, belief, t, s):
    return process.posterior(x_t, belief, t, s)


@every_kind
@pytest.mark.parametrize("affine", [rectified(), cosine(), vp()], ids=["flow", "cosine", "vp"])
def test_reverse_rates_undo_the_forward_ones(kind, affine):
    """Flux balance p_t(x) R(x -> y) = p_t(y) Q(y -> x), over every pair of states of three tied tokens."""
    process = kinds(keep_of(affine))[kind]
    k, joint = len(process.m), padded(process, JOINT)
    x = states(k, 3)
    for t in (0.05, 0.5, 0.9):
        p = noised(process, joint, t)
        belief = oracle.tokens(process, joint)(x, t).nan_to_num()
        flux, rates = p[:, None, None] * process.reverse_rates(x, belief, t), process.rates_out(x, t)
        for i, y in states(k, 2).clamp(max=2).unique(dim=0).tolist():
            there = x.clone()
            there[:, i] = y
            index = (there * k ** torch.tensor([2, 1, 0])).sum(-1)
            back = p[index] * rates[index, i].gather(-1, x[:, [i]])[:, 0]
            assert (flux[:, i, y] - torch.where(x[:, i] == y, 0.0, back)).abs().max() < 1e-13


@pytest.mark.parametrize("law, scale", [(euler_law, 1.03e-2), (tau_leap_law, 3.09e-2)], ids=["euler", "tau_leap"])
def test_rates_frozen_over_a_step_are_first_order(law, scale):
    """Five states, uniform rate 1 for a time of 6, exact ratios: the total variation falls like 1 / steps."""
    process = uniform_tokens(5, lambda t: torch.exp(-6 * t))
    exact = oracle.tokens(process, FIVE)
    errors = [distance(law_of_chain(process, exact, FIVE, np.linspace(1, 0, n + 1), law), FIVE) for n in STEPS]
    print(law.__name__, errors, fitted(STEPS, errors))
    assert -1.06 < fitted(STEPS, errors) < -0.96
    assert abs(errors[0] / scale - 1) < 0.01


@every_kind
def test_euler_keeps_one_token_exact_where_keep_is_linear(kind):
    """p_s - p_t = (keep_s - keep_t)(p_0 - m): the flux of a step is exact, its error is the curvature of the clock."""
    process = kinds()[kind]
    law = padded(process, FIVE[:3] / FIVE[:3].sum())
    grid = [0.99, 0.985, 0.97, 0.95, 0.9, 0.8, 0.62, 0.45, 0.3, 0.2, 0.12, 0.06, 0.03, 0.01, 0.0]
    assert distance(law_of_chain(process, oracle.tokens(process, law), law, grid, euler_law), law) < 1e-14
    assert distance(law_of_chain(process, oracle.tokens(process, law), law, grid, tau_leap_law), law) > 1e-3


def test_euler_is_the_posterior_of_an_absorbing_chain_where_keep_is_linear():
    process, x = absorbing(3, KEEP), states(4, 1)
    belief = padded(process, FIVE[:3]).expand(4, 1, 4) / FIVE[:3].sum()
    for t, s in ((1.0, 0.7), (0.6, 0.01), (0.3, 0.0)):
        assert (euler_law(process, x, belief, t, s) - process.posterior(x, belief, t, s)).abs().max() < 1e-14


@pytest.mark.parametrize("law", [posterior_law, euler_law, tau_leap_law])
@every_kind
def test_dependent_tokens_are_first_order(kind, law):
    process, steps = kinds()[kind], (16, 32, 64)
    joint = padded(process, JOINT)
    # Even steps of log-SNR between noise and data, as the rates are steep near keep = 0.
    grids = [1 / (1 + np.exp(-np.linspace(5, -9, n + 1))) for n in steps]
    exact = oracle.tokens(process, joint)
    floor = noised(process, joint, grids[0][-1])
    errors = [distance(law_of_chain(process, exact, joint, grid, law), floor) for grid in grids]
    print(kind, law.__name__, errors, fitted(steps, errors))
    assert -1.3 < fitted(steps, errors) < -0.8


def test_absorbing_chains_leap_from_pure_noise_and_others_refuse():
    process, x = absorbing(3, KEEP), torch.tensor([[3, 3, 0]])
    belief = torch.tensor([0.2, 0.5, 0.3, 0.0], dtype=torch.float64).expand(1, 3, 4)
    expected = torch.tensor([0.02, 0.05, 0.03, 0.9], dtype=torch.float64)
    assert (euler_law(process, x, belief, 1.0, 0.9)[0, :2] - expected).abs().max() < 1e-14
    assert torch.equal(euler_law(process, x, belief, 1.0, 0.9)[0, 2], torch.eye(4).double()[0])
    for other in (uniform_tokens(4, KEEP), marginal(torch.arange(1.0, 5.0), KEEP)):
        for law in (euler_law, tau_leap_law):
            with pytest.raises(ValueError, match="infinite at t=1.0, where keep is 0"):
                law(other, x, belief, 1.0, 0.9)
            assert (law(other, x, belief, 1 - 1e-12, 0.9).sum(-1) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("law", [posterior_law, euler_law, tau_leap_law])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@every_kind
def test_laws_are_laws_at_low_precision(kind, dtype, law, rng):
    """Sum one, no weight below zero, from the last float below t = 1 down to t = 0."""
    process = kinds()[kind]
    belief = torch.nn.functional.pad(torch.rand(8, 5, 3, generator=rng), (0, len(process.m) - 3)).to(dtype)
    belief, x = belief / belief.sum(-1, keepdim=True), torch.randint(3, (8, 5), generator=rng)
    for t, s in ((1 - 1e-9, 0.5), (0.5, 0.4999), (1e-3, 1e-6), (1e-9, 0.0)):
        p = law(process, x, belief, t, s)
        assert p.dtype == torch.float32 and (p >= 0).all() and (p.sum(-1) - 1).abs().max() < 1e-5


@every_kind
def test_corrector_holds_the_marginal(kind):
    """One token: exactly, at any share. Dependent tokens, in parallel: the error of one sweep is of second order."""
    process = kinds()[kind]
    one, joint = padded(process, FIVE[:3] / FIVE[:3].sum()), padded(process, JOINT)
    for t in (0.1, 0.6):
        drift = {}
        for law in (one, joint):
            x = states(len(process.m), law.dim())
            belief, p = oracle.tokens(process, law)(x, t).nan_to_num(), noised(process, law, t)
            for share in (1.0, 0.1, 0.05):
                rows = product(renoise_law(process, x, belief, t, share))
                drift[law.dim(), share] = distance(p @ rows, p)
        assert max(drift[1, share] for share in (1.0, 0.1, 0.05)) < 1e-15
        assert 3.5 < drift[3, 0.1] / drift[3, 0.05] < 4.5


def test_a_corrector_mends_a_poor_start():
    """Sweeps at a fixed level carry any law to the marginal; without them the chain keeps the error of its start."""
    process, joint = kinds()["uniform"], JOINT
    x, t = states(3, 3), 0.3
    rows = product(renoise_law(process, x, oracle.tokens(process, joint)(x, t), t, 0.05))
    p = torch.full((27,), 1 / 27, dtype=torch.float64)
    before = distance(p, noised(process, joint, t))
    after = distance(p @ torch.linalg.matrix_power(rows, 400), noised(process, joint, t))
    assert before > 0.2 and after < 0.01


def absorbed():
    """Molecules whose atoms and bonds are both absorbed."""
    whole = molecules(rectified())
    return Product({**whole.parts, "atom": absorbing(4, KEEP)}, whole.project)


def masked_belief(affine):
    """The mixing belief of test_product, with a mask class without weight on atoms too."""
    inner = equivariant(affine)

    def denoise(x_t, t, previous=None):
        out = inner(x_t, t, previous)
        return {**out, "atom": torch.nn.functional.pad(out["atom"], (0, 1))}

    return denoise


RULES = {
    "euler": euler_tokens,
    "tau_leap": tau_leap,
    "confidence": by_confidence(),
    "noisy_confidence": by_confidence(of_draw, 1.0),
    "by_field": {"atom": by_confidence(of_best), "bond": tau_leap},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("solver", [ancestral, ddim(), heun, dpmpp_2m], ids=["ancestral", "ddim", "heun", "dpmpp_2m"])
def test_token_rules_ride_on_any_solver(solver, rule):
    """Constraints hold, masks are gone at the end, and a sample depends on neither its batch nor its padding."""
    process, denoise, grid = absorbed(), masked_belief(rectified()), [1.0, 0.8, 0.5, 0.2, 0.0]
    moved = token_corrector(with_tokens(solver, rule), 1, 0.2)
    x = process.source(empty(), Streams(rngs(), SIZES))
    whole, _ = sample(process, denoise, x, grid, Streams(rngs(3), SIZES), moved)
    lawful(whole)
    assert whole["bond"].max() < 3 and whole["atom"].max() < 4
    for i, n in enumerate(SIZES):
        x = process.source(empty((n,)), Streams(rngs(i, 1), [n]))
        alone, _ = sample(process, denoise, x, grid, Streams(rngs(3 + i, 1), [n]), moved)
        assert torch.equal(alone["atom"][0], whole["atom"][i, :n])
        assert torch.equal(alone["bond"][0], whole["bond"][i, :n, :n])


def test_affine_fields_do_not_notice_the_rule():
    affine, law = rectified(), torch.tensor([0.8, 0.2], dtype=torch.float64)
    process, denoise = separate(affine, law)
    x = State({"pos": torch.ones(64, 1).double(), "atom": torch.zeros(64, 1).long()}, torch.ones(64, 1) > 0)
    runs = [
        sample(process, denoise, x, uniform(8)[1:], torch.Generator().manual_seed(0), solver)[0]["pos"]
        for solver in (dpmpp_2m, with_tokens(dpmpp_2m, tau_leap), token_corrector(dpmpp_2m))
    ]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])


def test_claims_and_refusals():
    assert with_tokens(heun, tau_leap).evaluations == 2 and token_corrector(heun, 3).evaluations == 5
    flow, tokens = rectified(), uniform_tokens(3, KEEP)
    call = (
        lambda *_: torch.full((1, 2, 3), 1 / 3),
        torch.zeros(1, 2, dtype=torch.long),
        0.5,
        0.4,
        torch.Generator(),
        None,
    )
    for solver in (with_tokens(ancestral, tau_leap), token_corrector()):
        with pytest.raises(ValueError, match="Affine has no categorical field"):
            solver(flow, *call)
    with pytest.raises(ValueError, match=r"rules for \['bond'\] need categorical fields"):
        with_tokens(ancestral, {"bond": tau_leap})(Product({"pos": flow, "atom": tokens}), *call)
    with pytest.raises(ValueError, match="only an absorbing chain has a mask"):
        with_tokens(ancestral, by_confidence())(tokens, *call)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        by_confidence(temperature=-1)
    for bad in ({"corrections": -1}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(ValueError, match="`corrections` must be >= 0 and `share`"):
            token_corrector(**bad)
