"""The losses of token chains: what minimises them, which are equal, and how they behave at the ends."""

from __future__ import annotations

import pytest
import torch

from scigen import oracle
from scigen.objective.discrete import (
    cross_entropy,
    hybrid,
    jump_kl,
    masked_cross_entropy,
    score_entropy,
    step_kl,
)
from scigen.process.categorical import absorbing, uniform_tokens
from tests.anchors.test_discrete_likelihood import ONE, SCHEDULES, every_kind, random_beliefs
from tests.anchors.token_laws import KEEP, kinds, padded, states


@every_kind
def test_jump_kl_is_the_step_kl_of_a_short_step(kind):
    process, n = kinds(SCHEDULES["cosine"])[kind], len(kinds()[kind].m)
    x0 = states(n, 2)[:, 0].clamp(max=2)
    x_t = states(n, 2)[:, 1]
    possible = (x_t == x0) | (process.m[x_t] > 0)
    belief, t = random_beliefs(process, (len(x0),)), 0.4
    exact = jump_kl(process, x0, x_t, belief, t)[possible]
    errors = [
        float((step_kl(process, x0, x_t, belief, t, t - h)[possible] / h - exact).abs().max())
        for h in (1e-2, 1e-3, 1e-4)
    ]
    assert errors[0] > 9 * errors[1] > 80 * errors[2] and errors[2] < 1e-2


@every_kind
def test_the_exact_belief_minimises_every_term(kind):
    """Averaged over x0 given x_t, the gradient with respect to the logits vanishes at the exact belief alone."""
    process = kinds()[kind]
    law = padded(process, ONE)
    x_t = torch.arange(len(process.m))
    for t, s in ((0.6, 0.3), (0.3, 0.0)):
        exact = oracle.tokens(process, law)(x_t[:, None], t)[:, 0]
        for off in (0.0, 0.3):
            logits = (
                exact.clamp(min=1e-12).log() + off * torch.tensor([1.0, -1.0, 0.5, 0.0])[: len(x_t)]
            ).requires_grad_()
            belief = torch.where(exact > 0, logits.exp(), 0.0)
            belief = belief / belief.sum(-1, keepdim=True)
            for term in (
                lambda a, b, p: step_kl(process, a, b, p, t, s),  # noqa: B023
                lambda a, b, p: jump_kl(process, a, b, p, t),  # noqa: B023
            ):
                loss = sum(
                    (exact[:, c] * torch.where(exact[:, c] > 0, term(torch.full_like(x_t, c), x_t, belief), 0.0)).sum()
                    for c in range(3)
                )
                (slope,) = torch.autograd.grad(loss, logits, retain_graph=True)
                assert slope.isfinite().all()
                assert (slope.abs().max() < 1e-12) if off == 0 else (slope.abs().max() > 1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_continuous_term_of_masks_is_weighted_cross_entropy(schedule):
    """-keep' / (1 - keep) times -log belief(x0): MDLM's weight, and LLaDA's 1 / t for keep = 1 - t."""
    process = absorbing(3, SCHEDULES[schedule])
    belief, x0, x_t = random_beliefs(process, (4,)), torch.tensor([0, 1, 2, 1]), torch.tensor([3, 3, 3, 1])
    logits = belief.log() + 2.0
    logits[:, 3] = 50.0  # the mask's own logit does not count
    for t in (0.1, 0.5, 0.95):
        loss = masked_cross_entropy(process, x0, x_t, logits, t)
        assert (jump_kl(process, x0, x_t, belief, t) - loss).abs().max() < 1e-12
        if schedule == "flow":
            assert (loss - (x_t == 3).double() / t * cross_entropy(x0, belief)).abs().max() < 1e-13
    with pytest.raises(ValueError, match="only an absorbing chain has a mask"):
        masked_cross_entropy(uniform_tokens(4, KEEP), x0, x_t, logits, 0.5)


@every_kind
def test_score_entropy_of_a_belief_is_its_jump_kl(kind):
    """SEDD's loss at the ratios of a belief, wherever tokens can jump; and its minimiser is the exact ratios."""
    process = kinds()[kind]
    k = len(process.m)
    x_t, x0 = torch.full((3,), k - 1), torch.arange(3)
    for t in (0.01, 0.4, 0.97):
        belief = random_beliefs(process, (3,))
        loss = score_entropy(process, x0, x_t, process.ratios(x_t, belief, t).log(), t)
        assert (loss - jump_kl(process, x0, x_t, belief, t)).abs().max() < 1e-12 / t
        exact = oracle.tokens(process, padded(process, ONE))(x_t[:1, None], t)[:, 0]
        best = process.ratios(x_t[:1], exact, t).log()
        for off in (0.0, 0.2):
            log_ratios = (best + off).expand(3, k).clone().requires_grad_()
            (slope,) = torch.autograd.grad(
                (exact[0, :3] * score_entropy(process, x0, x_t, log_ratios, t)).sum(), log_ratios
            )
            slope = slope.sum(0)[: k - 1]
            assert slope.abs().max() < 1e-12 / t if off == 0 else slope.min() > 1e-3


def test_hybrid_is_its_two_terms():
    process, x0, x_t = kinds()["uniform"], torch.arange(3), torch.tensor([0, 0, 1])
    belief = random_beliefs(process, (3,))
    expected = 10 * step_kl(process, x0, x_t, belief, 0.5, 0.4) + 0.01 * cross_entropy(x0, belief)
    assert torch.equal(hybrid(process, x0, x_t, belief, 0.5, 0.4, 10, 0.01), expected)
    last = hybrid(process, x0, x_t, belief, 0.1, 0.0, 1, 0.0)  # to the data: the reconstruction term
    assert (last - cross_entropy(x0, belief)).abs().max() < 1e-14


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_both_ends(kind, dtype):
    """A batch with t = 0, t = 1 and two times between; chains that do not absorb have no continuous term at t = 1."""
    process = kinds()[kind]
    last = len(process.m) - 1
    x0, x_t = torch.tensor([[0], [1], [2], [1]]), torch.tensor([[0], [last], [last], [last]])
    t = torch.tensor([0.0, 1.0, 0.5, 1e-4], dtype=torch.float64)
    logits = torch.randn(4, 1, last + 1, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    belief = masked_softmax(logits) if kind == "absorbing" else logits.softmax(-1)
    inner = (t < 1) | (process.m.max() == 1)
    losses = [step_kl(process, x0, x_t, belief, t, t / 2)]
    losses.append(jump_kl(process, x0[inner], x_t[inner], belief[inner], t[inner]))
    if kind == "absorbing":
        losses.append(masked_cross_entropy(process, x0, x_t, logits, t))
    for loss in losses:
        (slope,) = torch.autograd.grad(loss.sum(), logits, retain_graph=True)
        assert loss.isfinite().all() and slope.isfinite().all() and slope.any()


def masked_softmax(logits):
    return torch.cat([logits[..., :-1].softmax(-1), torch.zeros_like(logits[..., :1])], -1)


@every_kind
def test_terms_behave_in_float32(kind):
    """Against float64, and near keep = 0, where rates of 1e6 differ by little."""
    process = kinds()[kind]
    x0, x_t = torch.tensor([0, 1, 2]), torch.tensor([len(process.m) - 1] * 3)
    for t in (0.01, 0.5, 1 - 1e-6):
        belief = random_beliefs(process, (3,))
        assert torch.allclose(
            jump_kl(process, x0, x_t, belief.float(), t).double(),
            jump_kl(process, x0, x_t, belief, t),
            rtol=1e-3,
            atol=1e-5,
        )
        assert torch.allclose(
            step_kl(process, x0, x_t, belief.float(), t, t / 2).double(),
            step_kl(process, x0, x_t, belief, t, t / 2),
            rtol=1e-3,
            atol=1e-5,
        )
