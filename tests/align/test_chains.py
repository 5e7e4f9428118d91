"""What the alignment of chains refuses, and what it does on molecules through the benchmark's own functions."""

from __future__ import annotations

import pytest
import torch

from benchmarks import alignment
from scigen.align.ddpo import ddpo_loss, rollout
from scigen.align.dpo import diffusion_dpo_loss, dpo_loss
from scigen.align.policy import kl, log_prob
from scigen.align.value import tilt_weights, value_loss
from scigen.domains.molecules.process import blank
from scigen.process.affine import rectified
from scigen.process.brownian import Brownian
from tests.distill.problems import guess, molecules, sources


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_refusals():
    affine, x, rng = rectified(), torch.zeros(2, 1, dtype=torch.float64), seeded()
    for density in (log_prob, kl):
        with pytest.raises(ValueError, match="eta"):
            density(affine, x, x, x, 0.5, 0.4, 0.0)
    with pytest.raises(ValueError, match="sigma is 0"):
        log_prob(affine, x, x, x, 0.5, 0.0)
    with pytest.raises(ValueError, match="Brownian"):
        log_prob(Brownian(1.0), x, x, x, 0.5, 0.4)
    with pytest.raises(ValueError, match="two times"):
        rollout(affine, lambda x, t, previous=None: x, x, [1.0], rng)
    with pytest.raises(ValueError, match="clip"):
        ddpo_loss(x, x, x, 1.0)
    with pytest.raises(ValueError, match="beta"):
        dpo_loss(x, x, 0.0)
    with pytest.raises(ValueError, match="beta"):
        tilt_weights(x, 0.0)
    with pytest.raises(ValueError, match="ddpo_loss"):
        value_loss(molecules(affine), guess, None, [1.0, 0.0], rng, len)


def test_preferences_of_molecules_start_at_log_two():
    process = molecules(rectified())
    winner, loser = (sources(process, (4, 2), seed) for seed in (0, 1))
    winner, loser = (x.replace(bond=x["bond"] * 0) for x in (winner, loser))
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    loss = diffusion_dpo_loss(process, guess, guess, winner, loser, t, seeded(), beta=5.0)
    assert abs(float(loss) - 0.6931471805599453) < 1e-15


def test_the_benchmark_rewards_whole_molecules_only():
    judge = alignment.Judge(None, "qed")
    good = {"valid": True, "strict_stable": True, "fragments": 1, "qed": 0.5}
    rows = [good, {**good, "fragments": 2}, {**good, "strict_stable": False}, {}]
    assert judge.rewards(rows).tolist() == [0.5, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("learn", [alignment.ddpo_losses, alignment.dpo_losses, alignment.weighted_losses])
def test_the_benchmarks_losses_pass_gradients_of_finite_size(learn):
    process, weight = alignment.PROCESS, torch.zeros(9, requires_grad=True)

    def now(x, t, previous=None):
        atom = (torch.nn.functional.one_hot(x["atom"], 9) + weight).softmax(-1)
        return {"pos": x["pos"] * 0.5, "atom": atom, "bond": torch.full((*x["bond"].shape, 4), 0.25)}

    sizes, steps = [5] * 4, 6
    chain = rollout(process, now, process.source(blank(sizes), seeded()), alignment.late(steps), seeded(1))
    score = torch.tensor([[0.0, 0.5, 0.7, 0.2]])
    args = alignment.argparse.Namespace(steps=steps, moves=4, beta=0.1)
    losses = [loss for update in learn(now, now, [chain], score, args, seeded()) for loss in update]
    assert len(losses) == 2
    for loss in losses:
        (gradient,) = alignment.gradients(loss, [weight])
        assert gradient.isfinite().all() and gradient.abs().max() > 0
