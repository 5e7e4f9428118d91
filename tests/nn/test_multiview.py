"""The transformer over views: shapes, the null picture, the start of training, and patches that come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scigen.domains.image3d.diffusion_prior import DiffusionPrior, Draws
from scigen.domains.image3d.prior import RetrievalPrior
from scigen.domains.image3d.render import render
from scigen.domains.image3d.rendering import render_set
from scigen.domains.image3d.rig import CUBE
from scigen.domains.image3d.score import score_views
from scigen.domains.image3d.tokens import folded, unfolded, view_channels, views_of
from scigen.domains.image3d.views_task import (
    SPARE,
    Neighbours,
    ViewBatches,
    ViewsLoss,
    ViewsTask,
    views_loss,
    views_scale,
)
from scigen.domains.image3d.viewset import ViewSet
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.errors import InputError
from scigen.nn.multiview import MultiViewConfig, MultiViewTransformer
from scigen.process.affine import rectified, vp
from scigen.run.distributed import World
from scigen.solver import dpmpp_2m
from scigen.state import State
from tests.domains.shapes.bodies import ball

SMALL = MultiViewConfig(pixels=16, patch=4, width=32, layers=2, heads=4)


def network(lively: bool = True) -> MultiViewTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MultiViewTransformer(SMALL)
        for p in net.parameters():
            if lively and not p.any():
                torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def state(seed: int = 0, given: bool = True) -> State:
    rng = torch.Generator().manual_seed(seed)
    fields = {"view": torch.randn(2, 6 * 16, 80, generator=rng)}
    if given:
        fields["given"] = torch.randn(2, 16, 64, generator=rng)
    return State(fields, torch.ones(2, 96, dtype=torch.bool))


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return render_set(ProceduralSet(2, families=FAMILIES[5:7]), pixels=16, pictures=2).views


def test_patches_come_back_and_lie_row_by_row() -> None:
    x = torch.arange(2 * 3 * 8 * 8 * 5, dtype=torch.float32).reshape(2, 3, 8, 8, 5)
    tokens = folded(x, 4)
    assert tokens.shape == (2, 12, 80) and torch.equal(unfolded(tokens, 4, 8), x)
    assert torch.equal(tokens[1, 4 + 1].reshape(4, 4, 5), x[1, 1, :4, 4:]), "view 1, upper right"


def test_views_come_back_from_their_channels() -> None:
    true = render(ball(0.4, rings=20), CUBE, 24)
    found = views_of(view_channels(true))
    score = score_views(found, true)
    assert score["mask_iou"] == 1 and score["depth_mae"] < 1e-5 and score["normal_angle"] < 0.5
    with pytest.raises(ValueError, match="lack normals"):
        view_channels(replace(true, depth=None))


def test_everything_is_looked_at() -> None:
    net, x, logsnr = network(), state(), torch.tensor([0.0, 1.0])
    out = net(x, logsnr)["view"]
    assert out.shape == x["view"].shape
    for name in ("view", "given"):
        other = x[name].clone()
        other[:, 0] += 1
        moved = (net(x.replace(**{name: other}), logsnr)["view"] - out).abs().amax((0, 2))
        assert (moved[1:] > 1e-7).all(), "one patch moves the belief about every other"
    assert not torch.allclose(net(x, logsnr + 1)["view"], out)
    blank = x.replace(given=torch.zeros_like(x["given"]))
    torch.testing.assert_close(net(state(given=False), logsnr)["view"], net(blank, logsnr)["view"])


def test_untrained_it_believes_in_the_middle() -> None:
    x, logsnr = state(), torch.tensor([-3.0, 2.0])
    assert not network(lively=False)(x, logsnr)["view"].any()
    with pytest.raises(ValueError, match="multiple of `patch`"):
        MultiViewConfig(pixels=50)


def test_batches_depend_on_their_step_alone(views: ViewSet) -> None:
    rows, scale = np.arange(4), views_scale(views, np.arange(4))
    batches = ViewBatches(views, rows, 4, scale, 2, 7)
    again = ViewBatches(views, rows, 4, scale, 2, 7).at(5)
    assert torch.equal(batches.at(5)["view"], again["view"]) and torch.equal(batches.at(5)["given"], again["given"])
    both = torch.cat([batches.at(0, rank, 2)["view"] for rank in (0, 1)]) if len(rows) >= 4 else None
    assert both is not None and len({tuple(x.flatten().tolist()[:2000]) for x in both}) == 4, (
        "an epoch holds all shapes"
    )
    assert both.square().mean() == pytest.approx(1, rel=1e-3)
    with pytest.raises(InputError, match="do not fill one batch"):
        ViewBatches(views, rows, 4, scale, 9, 0).at(0)
    with pytest.raises(InputError, match="no training shapes"):
        views_scale(views, rows[:0])


def test_the_loss_of_the_truth_is_none_and_of_anything_else_some(views: ViewSet) -> None:
    batches = ViewBatches(views, np.arange(4), 4, 1.0, 4, 0)
    x0, how = batches.at(0), ViewsLoss()

    def told(by: float):
        return lambda x, logsnr, previous: {"view": x0["view"] + by}

    rng = torch.Generator().manual_seed(0)
    assert views_loss(told(0.0), rectified(), x0, rng, how, 4)[0] == 0
    total, terms = views_loss(told(0.1), rectified(), x0, rng, how, 4)
    assert total > 0 and set(terms) == {"mask", "normal", "depth", "off"} and all(v > 0 for v in terms.values())


def trained(views: ViewSet, steps: int) -> tuple[MultiViewTransformer, float, list[float]]:
    """A network that has seen one shape alone, its scale, and the loss of each step."""
    net, rows = network(lively=False), np.zeros(8, int)
    scale = views_scale(views, rows)
    task = ViewsTask(net, rectified(), ViewBatches(views, rows, 4, scale, 8, 0), ViewsLoss())
    adam, rng = torch.optim.Adam(net.parameters(), 3e-3), torch.Generator().manual_seed(0)
    losses = []
    for step in range(steps):
        loss, _, count = task.loss(net, step, World(0, 1, torch.device("cpu")), rng)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        assert count == 8
    return net.eval(), scale, losses


def test_the_regression_learns_a_shape(views: ViewSet) -> None:
    net, scale, losses = trained(views, 40)
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    (guess,) = DiffusionPrior(net, scale, Draws(rectified(), None)).sample(views.subject(0, 0), 3)
    score = score_views(guess, views.views(0))
    assert score["mask_iou"] > 0.4 and score["normal_angle"] < 45, "the mean picture begins to show"


@pytest.mark.slow
def test_the_diffusion_draws_the_one_shape_it_knows(views: ViewSet) -> None:
    net, scale, _ = trained(views, 800)
    for affine, solver in ((rectified(), None), (rectified(), dpmpp_2m), (vp(), dpmpp_2m)):
        drawn = DiffusionPrior(net, scale, Draws(affine, solver, 12)).sample(views.subject(0, 0), 2)
        score = score_views(drawn[0], views.views(0))
        assert score["mask_iou"] > 0.8 and score["depth_mae"] < 0.1 and len(drawn) == (2 if solver else 1)


def test_draws_stand_alone(views: ViewSet) -> None:
    prior = DiffusionPrior(network(), 0.7, Draws(rectified(), dpmpp_2m, 3, guidance=1.5))
    three, one = prior.sample(views.subject(0, 0), 3, seed=4), prior.sample(views.subject(0, 0), 1, seed=4)
    np.testing.assert_allclose(three[0].mask, one[0].mask, atol=1e-4)
    assert not np.allclose(three[0].mask, three[1].mask, atol=1e-2) and prior.pixels == 16
    with pytest.raises(InputError, match="16 pixels"):
        prior.sample(replace(views.subject(0, 0), mask=np.ones((20, 20), np.float32)))


def test_the_views_of_neighbours_are_what_learning_begins_at() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MultiViewTransformer(replace(SMALL, near=2)).eval()
    x, logsnr = state(), torch.tensor([-3.0, 2.0])
    near = torch.randn(2, 96, 160, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(x.replace(near=near), logsnr)["view"], near[..., :80])
    assert not net(x, logsnr)["view"].any()
    torch.nn.init.normal_(net.out.weight, std=0.1)
    alone, beside = net(x, logsnr)["view"], net(x.replace(near=0 * near), logsnr)["view"]
    torch.testing.assert_close(alone, beside)
    other = torch.cat([near[..., :80], -near[..., 80:]], -1)
    moved = net(x.replace(near=other), logsnr)["view"] - net(x.replace(near=near), logsnr)["view"]
    assert moved.abs().max() > 1e-3, "the second is looked at too"


def test_a_sample_is_shown_others_of_its_set(views: ViewSet) -> None:
    memory = RetrievalPrior(views, np.arange(4))
    others = memory.others(3)
    assert others.shape == (4, 2, 3)
    for k in range(4):
        for i in range(2):
            assert sorted(others[k, i]) == sorted(set(range(4)) - {k}), "all but itself"
            nearest = [row for row in memory.nearest(views.subject(k, i), 4) if row != k]
            assert others[k, i].tolist() == nearest
    near = Neighbours(others[..., :1].repeat(1 + SPARE, -1), 1)
    batch = ViewBatches(views, np.arange(4), 4, 0.5, 4, 0, near=near).at(0)
    assert batch["near"].shape == batch["view"].shape
    with pytest.raises(InputError, match="need more"):
        memory.others(4)
    rng, first = np.random.default_rng(0), Neighbours(np.arange(5)[None, None], 2)
    starts = [int(first.drawn(0, 0, rng)[0]) for _ in range(400)]
    assert 150 < starts.count(0) < 250 and set(starts) == {0, 1, 2, 3}, "half begin at the nearest"


def test_draws_begin_at_one_neighbour_after_the_other(views: ViewSet) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MultiViewTransformer(replace(SMALL, near=1)).eval()
    memory = RetrievalPrior(views, np.arange(4))
    prior = DiffusionPrior(net, 0.7, Draws(rectified(), dpmpp_2m, 3), memory=memory)
    subject = views.subject(0, 0)
    for found, row in zip(prior.sample(subject, 3), memory.nearest(subject, 3)):
        true = views.views(row)
        assert np.array_equal(found.solid, true.solid), "an untrained network adds nothing"
    (guess,) = replace(prior, draws=Draws(rectified(), None)).sample(subject, 2)
    assert np.array_equal(guess.solid, views.views(0).solid)
    with pytest.raises(InputError, match="holds 1"):
        wide = MultiViewTransformer(replace(SMALL, near=2))
        replace(prior, network=wide, memory=RetrievalPrior(views, np.arange(1))).sample(subject)
