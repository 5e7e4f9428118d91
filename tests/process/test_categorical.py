"""Categorical processes: draws, noise and posterior as code (their laws are pinned in tests/anchors/test_tokens.py)."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.process.affine import cosine, rectified, ve, vp
from scigen.process.categorical import absorbing, draw, keep_of, marginal, mask_token, uniform_tokens


def test_draw_follows_its_probabilities(rng):
    p = torch.tensor([0.0, 0.5, 0.2, 0.0, 0.3])
    tokens = draw(p.expand(40_000, 5), rng)
    frequency = torch.bincount(tokens, minlength=5) / 40_000
    assert frequency[0] == 0 and frequency[3] == 0
    assert (frequency - p).abs().max() < 4 * math.sqrt(0.25 / 40_000)
    assert torch.equal(draw(7 * p.expand(100, 5), torch.Generator()), draw(p.expand(100, 5), torch.Generator()))


def test_draw_never_leaves_the_support(monkeypatch):
    """The extremes of a uniform draw: 0 must skip a leading class of no weight, the largest float must stay inside."""
    p = torch.tensor([[0.0, 0.4, 0.6, 0.0]])
    for u, expected in ((0.0, 1), (1 - 2.0**-24, 2)):
        monkeypatch.setattr("scigen.process.categorical.uniform", lambda shape, device, rng, u=u: torch.full(shape, u))
        assert draw(p, torch.Generator()).tolist() == [expected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_draw_never_returns_a_mask_without_weight(dtype, rng):
    """In bfloat16 one uniform number in 512 is 1: it must not fall through to the last class."""
    p = torch.tensor([0.3, 0.7, 0.0]).to(dtype)
    tokens = draw(p.expand(50_000, 3), rng)
    assert tokens.max() == 1 and abs(float((tokens == 1).double().mean()) - 0.7) < 0.01


def test_no_weight_at_all_gives_the_first_class():
    assert draw(torch.zeros(2, 3), torch.Generator()).tolist() == [0, 0]


@pytest.mark.parametrize("affine", [vp(), ve(), cosine(), rectified()])
def test_keep_is_the_share_of_data(affine):
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    a, s = affine.alpha(t), affine.sigma(t)
    assert (keep_of(affine)(t) - a / (a + s)).abs().max() < 1e-14


KEEP = keep_of(rectified())
KINDS = {"uniform": uniform_tokens(4, KEEP), "marginal": marginal(torch.ones(4), KEEP), "absorbing": absorbing(4, KEEP)}


@pytest.mark.parametrize("kind", KINDS)
def test_noise_keeps_at_its_rate(kind, rng):
    x0 = torch.zeros(2, 20_000, dtype=torch.long)
    x1 = KINDS[kind].source(x0, rng)
    x_t = KINDS[kind].noise(x0, x1, torch.tensor([0.3, 0.9]), rng)
    stays = 0.0 if kind == "absorbing" else 0.25  # a redraw may return the same class
    for row, t in zip(x_t, (0.3, 0.9)):
        assert abs(float((row == 0).double().mean()) - (1 - t + t * stays)) < 4 * 0.5 / math.sqrt(20_000)
    assert torch.equal(KINDS[kind].noise(x0, x1, 0.0, rng), x0)
    assert torch.equal(KINDS[kind].noise(x0, x1, 1.0, rng), x1)


def test_posterior_is_a_law_in_float32_too(rng):
    process = uniform_tokens(5, keep_of(vp()))
    x_t = torch.randint(5, (3, 4, 4), generator=rng)
    belief = torch.rand(3, 4, 4, 5, generator=rng).softmax(-1)
    for t, s in ((1.0, 0.999), (0.5, 0.4999), (1e-3, 0.0)):
        p = process.posterior(x_t, belief, t, s)
        assert (p >= 0).all() and (p.sum(-1) - 1).abs().max() < 1e-6
    assert torch.allclose(process.posterior(x_t, belief, 0.4, 0.4), torch.nn.functional.one_hot(x_t, 5).float())
    both = process.posterior(x_t, belief, torch.tensor([0.5, 0.9, 0.2]), torch.tensor([0.4, 0.1, 0.0]))
    assert torch.allclose(both[1], process.posterior(x_t[1:2], belief[1:2], 0.9, 0.1)[0], atol=1e-5)


def test_a_belief_that_denies_the_evidence_stays():
    process = absorbing(2, keep_of(rectified()))
    denied = torch.tensor([[0.0, 1.0, 0.0]])
    assert process.posterior(torch.tensor([0]), denied, 0.5, 0.2).tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_law_is_the_share_kept_and_the_share_redrawn(kind):
    process = KINDS[kind]
    p0 = torch.nn.functional.pad(torch.tensor([[0.5, 0.2, 0.2, 0.1], [0.0, 0.0, 1.0, 0.0]]), (0, len(process.m) - 4))
    law = process.law(p0, torch.tensor([0.25, 1.0]))
    assert law.dtype == p0.dtype and torch.allclose(law[0], 0.75 * p0[0] + 0.25 * process.m.float())
    assert torch.equal(law[1], process.m.float()) and torch.equal(process.law(p0, 0.0), p0)


@pytest.mark.parametrize("affine", [vp(), cosine(), rectified()])
def test_fall_is_the_slope_of_keep(affine):
    process, h = uniform_tokens(3, keep_of(affine)), 1e-5
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert torch.allclose(process.fall(t), (process.keep(t - h) - process.keep(t + h)) / (2 * h), rtol=1e-8)
    assert process.fall(torch.tensor([0.0, 1.0])).isfinite().all()


def test_only_absorbing_chains_have_a_mask():
    assert mask_token(KINDS["absorbing"].m) == 4
    for kind in ("uniform", "marginal"):
        with pytest.raises(ValueError, match="only an absorbing chain has a mask, got m ="):
            mask_token(KINDS[kind].m)


def test_too_few_classes_are_told():
    for make, count, least in ((uniform_tokens, 1, 2), (absorbing, 0, 1)):
        with pytest.raises(ValueError, match=f"`classes` must be at least {least}, got {count}"):
            make(count, keep_of(vp()))


def test_bad_marginals_are_told():
    for counts in (torch.tensor([1.0, -1.0]), torch.zeros(3), torch.ones(2, 2)):
        with pytest.raises(ValueError, match="counts or probabilities"):
            marginal(counts, keep_of(vp()))
