"""Distillation on whole states: coordinates by their rule, tokens by their law, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from scigen import oracle
from scigen.distill.consistency import boundary, consistency_loss, skip_and_out
from scigen.distill.ddgan import discriminator_loss, generator_loss, latent, steps_of
from scigen.distill.progressive import progressive, progressive_loss, two_step_target
from scigen.distill.reflow import one_step_loss, reflow_loss, straightness
from scigen.distill.truncated import diffused, truncated
from scigen.process.affine import cosine, rectified, vp
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ddim, sample
from scigen.solver.fewstep import renoise
from scigen.solver.grids import uniform
from scigen.state import State, Streams
from tests.anchors.test_product import empty
from tests.distill.problems import guess, molecules, project, sources


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_progressive_target_of_a_state_moves_coordinates_as_two_teacher_steps():
    process = molecules(rectified())
    x_t = sources(process, (4, 2))
    times = (1.0, 0.6, 0.3)
    x_s, memory = x_t, None
    rng = seeded(1)
    for t, s in zip(times, times[1:]):
        x_s, memory = ddim()(process, guess, x_s, t, s, rng, memory)
    target = two_step_target(process, guess, x_t, *times, seeded(1))
    one, _ = sample(process, lambda *_: target, x_t, [1.0, 0.3], seeded(2), ddim())
    assert (one["pos"] - x_s["pos"]).abs().max() < 1e-15
    assert torch.equal(target["atom"], memory.belief["atom"])


def test_token_targets_average_to_the_exact_belief():
    """The tower property: over the teacher's own draws, its later belief averages to p(x0 | x_t)."""
    affine, count = vp(), 20_000
    tokens = uniform_tokens(3, keep_of(affine))
    law = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    exact = oracle.tokens(tokens, law)
    process = Product({"pos": affine, "atom": tokens})
    teacher = lambda x, t, previous=None: {"pos": x["pos"] * 0, "atom": exact(x["atom"], t)}  # noqa: E731
    fields = {"pos": torch.zeros(count, 1, 1).double(), "atom": torch.ones(count, 1, dtype=torch.long)}
    x_t = State(fields, torch.ones(count, 1, dtype=torch.bool))
    got = two_step_target(process, teacher, x_t, 0.6, 0.3, 0.1, seeded())["atom"][:, 0]
    want = exact(x_t["atom"][:1], 0.6)[0, 0]
    assert ((got.mean(0) - want).abs() < 4 * got.std(0) / math.sqrt(count)).all()
    assert got.std(0).max() > 0.05  # each target alone is another belief


def test_losses_on_molecules_are_finite_and_pass_gradients():
    process, x0, rng = molecules(rectified()), sources(molecules(rectified()), (4, 2)), seeded()
    x0 = x0.replace(bond=x0["bond"].clamp(max=1) * 0)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)

    def student(x_t, t, previous=None):
        belief = guess(x_t, t)
        return {**belief, "pos": belief["pos"] * weight, "atom": (belief["atom"].log() * weight).softmax(-1)}

    x1 = process.source(x0, rng)
    t = torch.tensor([0.3, 0.8], dtype=torch.float64)
    for loss in (
        progressive_loss(process, student, guess, x0, uniform(4), rng),
        consistency_loss(process, student, guess, x0, uniform(4), rng, guess),
        consistency_loss(process, student, guess, x0, uniform(4), rng),
        reflow_loss(process, student, x0, x1, t, rng).mean(),
        one_step_loss(process, student, x0, x1, rng).mean(),
    ):
        (slope,) = torch.autograd.grad(loss, weight)
        assert loss.isfinite() and slope.isfinite() and slope != 0
    assert straightness(process, guess, x0, x1, t, rng).shape == (2,)


def test_renoised_molecules_are_lawful_and_independent_of_their_batch():
    process, sizes = molecules(rectified()), (4, 2)
    start = process.source(empty(sizes), Streams([seeded(0), seeded(1)], sizes))
    x, _ = sample(process, guess, start, uniform(3), Streams([seeded(2), seeded(3)], sizes), renoise())
    assert x["pos"].sum(1).abs().max() < 1e-14 and torch.equal(x["bond"], x["bond"].mT)
    alone = process.source(empty((2,)), Streams([seeded(1)], [2]))
    y, _ = sample(process, guess, alone, uniform(3), Streams([seeded(3)], [2]), renoise())
    assert (x["pos"][1, :2] - y["pos"][0]).abs().max() < 1e-15 and torch.equal(x["atom"][1, :2], y["atom"][0])
    assert torch.equal(project(x)["bond"], x["bond"])


def test_truncated_molecules_start_from_noised_ones():
    process, x0 = molecules(rectified()), sources(molecules(rectified()), (4, 2))
    x = diffused(process, x0, 0.9, seeded(5))
    assert x["pos"].sum(1).abs().max() < 1e-14 and (x["atom"] != x0["atom"]).any()
    assert (diffused(process, x0, 0.0, seeded())["pos"] - x0["pos"]).abs().max() < 1e-15
    assert truncated([1.0, 0.5, 0.2, 0.0], 0.3) == [0.3, 0.2, 0.0] and truncated([1.0, 0.5], 1.0) == [1.0, 0.5]


def test_boundary_of_a_state_holds_for_coordinates_and_leaves_tokens():
    process, x = molecules(rectified()), sources(molecules(rectified()), (4, 2))
    f = boundary(lambda x, t, previous: {**guess(x, t), "pos": x["pos"] * 7}, process, 0.01)
    assert (f(x, 0.01)["pos"] - x["pos"] / 0.99).abs().max() < 1e-15
    assert torch.equal(f(x, 0.5)["atom"], guess(x, 0.5)["atom"]) and not torch.equal(f(x, 0.5)["pos"], x["pos"] * 7)


def test_adversarial_steps_of_a_cloud():
    """Coordinates alone in a padded state: the penalty is the gradient's square over real points."""
    affine, weight = rectified(), torch.ones((), dtype=torch.float64, requires_grad=True)
    process = Product({"pos": affine}, lambda x: x.replace(pos=x["pos"] * x.mask[..., None]))
    x0 = process.source(State({"pos": empty((4, 2))["pos"]}, empty((4, 2)).mask), seeded())
    steps = steps_of(process, lambda x, t, rng: {"pos": x["pos"] * weight}, x0, [1.0, 0.5], seeded())
    judge = lambda x_s, x_t, t: 2 * (x_s["pos"] * x_s.mask[..., None]).sum((1, 2))  # noqa: E731
    with_penalty, without = (discriminator_loss(judge, steps, r1) for r1 in (0.5, 0.0))
    assert abs(float((with_penalty - without).detach()) - 0.25 * 4 * (12 + 6) / 2) < 1e-12
    assert torch.autograd.grad(generator_loss(judge, steps), weight)[0] != 0


def test_a_latent_is_not_cut_to_the_number_of_nodes():
    x = torch.zeros(2, 4, 3)
    z = latent(x, 5, Streams([seeded(0), seeded(1)], (4, 2)))
    assert z.shape == (2, 5) and (z != 0).all()
    assert torch.equal(z[1], latent(x[1:], 5, [seeded(1)])[0])


def test_refusals():
    affine, rng, x = rectified(), seeded(), torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="power of two"):
        next(progressive(guess, uniform(6), lambda teacher, grid: teacher))
    with pytest.raises(ValueError, match="multiple of 2"):
        progressive_loss(affine, lambda x, t: x, lambda x, t: x, x, uniform(3), rng)
    with pytest.raises(ValueError, match="t_min"):
        skip_and_out(affine, 0.5, 1.0)
    with pytest.raises(ValueError, match="std"):
        skip_and_out(affine, 0.5, 0.0, std=0.0)
    with pytest.raises(ValueError, match="level"):
        renoise(-0.1)
    with pytest.raises(ValueError, match="rectified"):
        one_step_loss(cosine(), lambda x, t: x, x, x, rng)
    with pytest.raises(ValueError, match="rectified"):
        straightness(uniform_tokens(2, keep_of(affine)), None, None, None, None, rng)
    with pytest.raises(ValueError, match="no gradient"):
        steps_of(molecules(affine), None, x, [1.0, 0.0], rng)
    with pytest.raises(ValueError, match="r1"):
        discriminator_loss(lambda *_: x, steps_of(affine, lambda x, t, rng: x, x, [1.0, 0.5], rng), r1=-1)
    with pytest.raises(ValueError, match="t_start"):
        truncated([1.0, 0.0], 0.0)
