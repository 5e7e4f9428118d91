"""Confidence-ordered unmasking and MDLM's substitution."""

from __future__ import annotations

import pytest
import torch

from scigen import oracle
from scigen.process.affine import rectified
from scigen.process.categorical import absorbing, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, sample
from scigen.solver.discrete import (
    tau_leap,
    with_tokens,
)
from scigen.solver.grids import uniform
from scigen.solver.unmasking import by_confidence, of_best, of_draw, substituted
from scigen.state import State
from tests.anchors.test_discrete_solvers import posterior_law
from tests.anchors.token_laws import (
    JOINT,
    KEEP,
    distance,
    law_of_chain,
    law_of_rule,
    padded,
)


def test_one_token_a_step_in_the_order_of_the_belief_is_exact():
    """The chain rule in an order that looks at x_t alone. MaskGIT's and LLaDA's rank looks at the drawn value and
    sharpens the law: likely states become likelier."""
    process = absorbing(3, KEEP)
    joint = padded(process, JOINT)
    exact, grid = oracle.tokens(process, joint), [1.0, 2 / 3, 1 / 3, 0.0]
    sharp, fair, random = (
        law_of_rule(process, exact, joint, grid, by_confidence(of_draw)),
        law_of_rule(process, exact, joint, grid, by_confidence(of_best)),
        law_of_chain(process, exact, joint, grid, posterior_law),
    )
    print("of_best", distance(fair, joint), "of_draw", distance(sharp, joint), "ancestral", distance(random, joint))
    assert distance(fair, joint) < 1e-15
    assert distance(sharp, joint) > 1e-2 and distance(random, joint) > 1e-2
    mean = joint.reshape(-1).clamp(min=1e-300).log()
    assert (sharp * mean).sum() > (fair * mean).sum() + 0.01


def test_unmasking_keeps_its_schedule_and_every_choice(rng):
    """At s, round((1 - keep_s) n) tokens are masked, of each sample's own n; the surest went first; none is redrawn."""
    process = Product({"atom": absorbing(5, KEEP)})
    mask = torch.arange(12)[None] < torch.tensor([12, 7, 1])[:, None]
    x = process.source(State({"atom": torch.zeros(3, 12, dtype=torch.long)}, mask), rng)
    belief = torch.nn.functional.pad(torch.rand(3, 12, 5, generator=rng).softmax(-1), (0, 1))
    solver, memory = with_tokens(ancestral, by_confidence(of_best)), None
    for t, s in ((1.0, 0.8), (0.8, 0.45), (0.45, 0.1), (0.1, 0.0)):
        before, (x, memory) = x, solver(process, lambda *_: {"atom": belief}, x, t, s, rng, memory)
        masked = (x["atom"] == 5) & mask
        assert masked.sum(1).tolist() == [round(s * n) for n in (12, 7, 1)]
        kept = before["atom"] != 5
        assert torch.equal(x["atom"][kept], before["atom"][kept])
        for row in range(2):
            left, shown = belief[row].amax(-1)[masked[row]], belief[row].amax(-1)[mask[row] & ~masked[row]]
            assert left.numel() == 0 or left.max() <= shown.min()
    assert x["atom"].max() < 5


def test_noise_on_the_confidence_changes_the_order_but_not_the_count(rng):
    process, n = absorbing(4, KEEP), 400
    x = process.source(torch.zeros(2, n, dtype=torch.long), rng)
    belief = torch.nn.functional.pad(torch.randn(2, n, 4, generator=rng).softmax(-1), (0, 1))
    shown = {}
    for temperature in (0.0, 1e3):
        rule = with_tokens(ancestral, by_confidence(of_best, temperature))
        out, _ = rule(process, lambda *_: belief, x, 1.0, 0.5, torch.Generator().manual_seed(1), None)
        assert ((out == 4).sum(1) == n // 2).all()
        shown[temperature] = belief.amax(-1)[out != 4].mean()
    assert shown[0.0] - belief.amax(-1).mean() > 0.03
    assert abs(shown[1e3] - belief.amax(-1).mean()) < 0.01


@pytest.mark.parametrize("solver", [ancestral, with_tokens(ancestral, tau_leap)], ids=["ancestral", "tau_leap"])
def test_substitution_leaves_no_mask_in_the_data(solver, rng):
    """A network that gives the mask weight leaves masks behind; substituted, never, and revealed tokens stay."""
    process, grid = absorbing(3, KEEP), uniform(6)
    logits = torch.randn(40, 20, 4, generator=rng)

    def network(x_t, t, previous=None):
        return logits.softmax(-1)

    x = process.source(torch.zeros(40, 20, dtype=torch.long), rng)
    assert sample(process, network, x, grid, rng, solver)[0].max() == 3
    out, belief = sample(process, substituted(network, process), x, grid, rng, solver)
    assert out.max() == 2 and not belief[..., 3].any() and (belief.sum(-1) - 1).abs().max() < 1e-6
    known = torch.arange(4).expand(2, 4)
    p = substituted(lambda *_: torch.full((2, 4, 4), 0.25), process)(known, 0.5)
    assert torch.equal(p[0, :3], torch.eye(4)[:3]) and torch.allclose(p[0, 3], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]))
    both = substituted(
        lambda *_: {"a": torch.full((1, 4, 4), 0.25), "b": known}, Product({"a": process, "b": rectified()})
    )
    state = State({"a": known[:1], "b": known[:1]}, torch.ones(1, 4) > 0)
    assert torch.equal(both(state, 0.5)["a"], p[:1]) and both(state, 0.5)["b"] is known
    with pytest.raises(ValueError, match="no field of this Categorical absorbs"):
        substituted(network, uniform_tokens(4, KEEP))
