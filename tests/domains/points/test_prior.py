"""Stored latents, the loss of the prior and of the raw baseline, and draws whose law is known."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scigen.domains.points.latents import LatentBatches, load_latents, matched, observation, save_latents
from scigen.domains.points.prior_task import PriorLoss, PriorTask, forget_class, prior_loss
from scigen.domains.points.process import Scale, joined, shape_process
from scigen.domains.points.raw_task import RawTask, some_points
from scigen.domains.points.sampler import Plan, draw_shapes
from scigen.errors import InputError
from scigen.io.npz import write_npz
from scigen.nn.latent_transformer import LatentConfig, LatentTransformer
from scigen.nn.point_process import PointConfig, PointNetwork
from scigen.process.affine import rectified, ve, vp
from scigen.solver import ancestral, ddim, dpmpp_2m
from scigen.state import State

ALONE = SimpleNamespace(rank=0, size=1)
PROCESS = shape_process(rectified())


def latents(count: int = 12, tokens: int = 6, features: int = 4, seed: int = 0) -> State:
    rng = torch.Generator().manual_seed(seed)
    pos, feat = (torch.randn(count, tokens, d, generator=rng) for d in (3, features))
    mask = torch.arange(tokens)[None] < torch.randint(3, tokens + 1, (count, 1), generator=rng)
    fields = {"pos": 0.2 * pos * mask[..., None], "feat": 3 * feat * mask[..., None]}
    return State({**fields, "category": torch.arange(count) % 3}, mask)


class Gaussian(torch.nn.Module):
    """The exact network of independent N(mean of the class, var) coordinates; the null class has mean 0."""

    def __init__(self, means=(0.0,), var=1.0) -> None:
        super().__init__()
        self.means, self.var, self.shown = torch.tensor([*means, 0.0]), var, []

    def forward(self, x, logsnr, previous=None):
        self.shown.append((x, logsnr))
        null = torch.full((len(x.mask),), len(self.means) - 1)
        mean = self.means[x["category"] if "category" in x else null][:, None, None]
        a, s2 = logsnr.sigmoid().sqrt()[:, None, None], (-logsnr).sigmoid()[:, None, None]
        gain = a * self.var / (a**2 * self.var + s2)
        return {name: mean + gain * (x[name] - a * mean) for name in ("pos", "feat") if name in x}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_latents_come_back_from_a_file(tmp_path):
    x = latents()
    seen = latents(tokens=5, seed=1)
    x = x.replace(given=joined(seen), given_mask=seen.mask)
    save_latents(tmp_path / "a.npz", x, ["chair", "lamp", "car"])
    again, names = load_latents(tmp_path / "a.npz")
    assert names == ("chair", "lamp", "car") and torch.equal(again.mask, x.mask)
    assert set(again.fields) == set(x.fields) and all(torch.equal(again[k], x[k]) for k in x.fields)
    assert all(torch.equal(observation(again)[k], seen[k]) for k in ("pos", "feat"))
    assert LatentBatches(again, 4, 0).content_hash() == LatentBatches(x, 4, 0).content_hash()


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"pos": np.zeros((2, 3, 3))}, "no latent points"),
        ({"pos": np.zeros((2, 3, 3)), "feat": np.zeros((2, 4, 8)), "mask": np.ones((2, 3), bool)}, "differ"),
        ({"pos": np.zeros(3), "feat": np.zeros(3), "mask": np.ones(3, bool)}, "differ"),
        (
            {"pos": np.zeros((2, 3, 3)), "feat": np.zeros((2, 3, 8)), "mask": np.ones((2, 3), bool),
             "category": np.zeros(5, np.int64)},
            "not there for each",
        ),
    ],
)  # fmt: skip
def test_files_that_are_not_latents_are_refused(tmp_path, arrays, what):
    write_npz(tmp_path / "a.npz", arrays)
    with pytest.raises(InputError, match=what):
        load_latents(tmp_path / "a.npz")


def test_an_epoch_shows_every_shape_once_and_ranks_share_it():
    x = latents(12).replace(number=torch.arange(12))
    batches = LatentBatches(x, 2, seed=5)
    shown = [batches.at(step, rank, 2)["number"].tolist() for step in range(3) for rank in range(2)]
    assert sorted(sum(shown, [])) == list(range(12))
    assert shown == [LatentBatches(x, 2, 5).at(s, r, 2)["number"].tolist() for s in range(3) for r in range(2)]
    assert shown[0] != batches.at(3, 0, 2)["number"].tolist()
    with pytest.raises(InputError, match="fill one batch"):
        LatentBatches(x, 13, 0).at(0)


def test_matching_is_the_best_of_all_orders():
    x, rows = latents(4), range(4)
    target = 0.2 * torch.randn(4, 6, 3, generator=rng(3))
    got = matched(x, target)
    for k in rows:
        n = int(x.sizes[k])
        costs = [float((x["pos"][k, list(p)] - target[k, :n]).square().sum()) for p in permutations(range(n))]
        assert float((got["pos"][k, :n] - target[k, :n]).square().sum()) == pytest.approx(min(costs), rel=1e-5)
        pairs = {tuple(row) for row in torch.cat([x["pos"], x["feat"]], -1)[k, :n].tolist()}
        assert {tuple(row) for row in torch.cat([got["pos"], got["feat"]], -1)[k, :n].tolist()} == pairs
        assert not got["pos"][k, n:].any()


def test_scales_give_unit_variance_and_take_it_back():
    x = latents(200)
    scale = Scale.of(x)
    inside = scale.enter(x)
    assert scale.pos == pytest.approx(0.2, rel=0.05) and scale.feat == pytest.approx(3, rel=0.05)
    assert Scale.of(inside).pos == pytest.approx(1) and Scale.of(inside).feat == pytest.approx(1)
    assert torch.allclose(scale.leave(inside)["feat"], x["feat"])
    carried = scale.enter(x.replace(start=joined(x), given=joined(x)))
    assert torch.equal(carried["start"], joined(inside)) and torch.equal(carried["given"], joined(inside))
    assert torch.allclose(scale.leave(carried)["given"], joined(x))
    with pytest.raises(ValueError, match="`pos` has the root mean square 0"):
        Scale.of(x.replace(pos=0 * x["pos"]))


def test_the_loss_of_the_best_network_is_its_closed_form():
    """N(0, 1) data and x0hat = alpha y leave sigma^2 of VP: min(1 + SNR, cap) sigma^2 = min(1, cap sigma^2)."""
    x0 = State({"pos": torch.randn(512, 32, 3, generator=rng(1)), "feat": torch.randn(512, 32, 4, generator=rng(2))},
               torch.ones(512, 32, dtype=torch.bool))  # fmt: skip
    for affine in (rectified(), vp()):
        net = Gaussian()
        total, terms = prior_loss(net, shape_process(affine), x0, rng(), PriorLoss(snr_cap=4.0, feat=2.0))
        expected = float((4 * (-net.shown[0][1]).sigmoid()).clamp(max=1).mean())
        assert float(terms["pos"]) == pytest.approx(expected, rel=0.02)
        assert float(terms["feat"]) == pytest.approx(expected, rel=0.02)
        assert float(total) == pytest.approx(float(terms["pos"] + 2 * terms["feat"]), rel=1e-6)
        seen = net.shown[0][0]
        assert abs(float(seen["pos"].square().mean()) - 1) < 0.02, "the network sees unit variance"


def test_the_network_that_knows_pays_nothing_and_padding_never_counts():
    x0 = latents()
    junk = {name: torch.where(x0.mask[..., None], x0[name], 50.0) for name in ("pos", "feat")}
    total, _ = prior_loss(lambda *_: junk, PROCESS, x0, rng(), PriorLoss())
    assert total == 0
    wrong, _ = prior_loss(lambda *_: {k: v + 0.1 for k, v in junk.items()}, PROCESS, x0, rng(), PriorLoss())
    assert wrong > 0.01


def test_assigned_noise_is_the_nearest_and_blended_noise_has_unit_variance():
    x0 = Scale.of(latents(64, 4)).enter(latents(64, 4))
    net = Gaussian((0.0, 0.0, 0.0))
    for blend in (None, 0.0, 0.2):
        prior_loss(net, PROCESS, x0, rng(), PriorLoss(transport=blend))
    t = torch.sigmoid(-net.shown[0][1] / 2)[:, None, None]
    scale = (t**2 + (1 - t) ** 2).sqrt()
    free, near, mixed = ((x["pos"] * scale - (1 - t) * x0["pos"]) / t for x, _ in net.shown)
    late = (t > 0.1)[:, 0]  # below, the noise cannot be read off x_t
    mask = x0.mask & late
    for k in late[:, 0].nonzero()[:8, 0].tolist():
        n = int(x0.sizes[k])
        costs = [float((near[k, list(p)] - x0["pos"][k, :n]).square().sum()) for p in permutations(range(n))]
        assert costs[0] == pytest.approx(min(costs), rel=1e-3)
    assert torch.allclose(near[mask].sort(0).values, free[mask].sort(0).values, atol=1e-2), "the same noise, dealt anew"
    assert abs(float(mixed[mask].square().mean()) - 1) < 0.15
    distance = [float((x1 - x0["pos"])[mask].square().sum()) for x1 in (near, mixed, free)]
    assert distance[0] < distance[1] < distance[2]


def test_a_share_of_the_classes_is_forgotten():
    x = latents(2000)
    out = forget_class(x, 3, 0.1, rng())
    gone = out["category"] != x["category"]
    assert (out["category"][gone] == 3).all() and 150 < int(gone.sum()) < 250
    assert "category" not in forget_class(State({"pos": x["pos"]}, x.mask), 3, 0.5, rng())


@pytest.mark.parametrize("raw", [False, True])
def test_tasks_train(raw):
    x = latents(8)
    torch.manual_seed(0)
    if raw:
        x = State({"pos": torch.randn(8, 40, 3)}, torch.ones(8, 40, dtype=torch.bool))
        net = PointNetwork(PointConfig(width=16, tokens=4, rounds=1, blocks=1, heads=2))
        task = RawTask(net, shape_process(rectified(), ("pos",)), LatentBatches(x, 4, 0), Scale.of(x), PriorLoss(), 16)
    else:
        net = LatentTransformer(LatentConfig(4, 3, width=16, layers=1, heads=2))
        task = PriorTask(net, PROCESS, LatentBatches(x, 4, 0), Scale.of(x), PriorLoss(), 3)
    optimizer, totals = torch.optim.Adam(net.parameters(), 1e-2), []
    for step in range(40):
        total, terms, count = task.loss(net, step % 2, ALONE, rng(step % 2))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert count == 4 and set(terms) == ({"pos"} if raw else {"pos", "feat"})
    assert sum(totals[-4:]) < 0.9 * sum(totals[:4])
    again = [task.loss(net, 0, ALONE, rng(9))[0] for _ in range(2)]
    assert again[0] == again[1]


def test_a_step_sees_some_of_the_points():
    x = State({"pos": torch.arange(20.0)[None, :, None].expand(2, 20, 3)}, torch.ones(2, 20, dtype=torch.bool))
    few = some_points(x, 8, rng())
    assert few["pos"].shape == (2, 8, 3) and len(set(few["pos"][0, :, 0].tolist())) == 8
    with pytest.raises(ValueError, match="at most the 20 points"):
        some_points(x, 21, rng())


@pytest.mark.parametrize("affine", [rectified(), vp(), ve()], ids=["flow", "vp", "ve"])
@pytest.mark.parametrize("solver", [ancestral, ddim(), dpmpp_2m], ids=["ancestral", "ddim", "dpmpp2m"])
def test_draws_of_an_exact_network_have_the_law_of_the_data(affine, solver):
    """N(0.7, 0.25) in units of variance one, stored at scales 0.2 and 3, whatever the process and the solver."""
    net = Gaussian((0.7,), 0.25)
    plan = Plan(affine, solver, steps=60)
    drawn = [d for group in draw_shapes(net, plan, range(60), 1, Scale(0.2, 3.0), 0, 16, 4, batch=60) for d in group]
    for name, scale in (("pos", 0.2), ("feat", 3.0)):
        x = torch.cat([d.shape[name].flatten() for d in drawn]) / scale
        assert float(x.mean()) == pytest.approx(0.7, abs=0.05)
        assert float(x.std()) == pytest.approx(0.5, abs=0.035)


@pytest.mark.parametrize(
    ("category", "weight", "mean"), [(0, 1.0, 0.5), (1, 1.0, -1.0), (None, 1.0, 0.0), (0, 3.0, 1.5)]
)
def test_classes_and_guidance_move_the_mean(category, weight, mean):
    """On Gaussians of one variance guidance by w moves the mean to w times that of the class."""
    plan = Plan(rectified(), ddim(), steps=60, guidance=weight)
    (drawn,) = draw_shapes(Gaussian((0.5, -1.0), 0.25), plan, range(32), 2, Scale(1.0), category, 16, 4)
    x = torch.cat([d.shape["pos"].flatten() for d in drawn])
    assert float(x.mean()) == pytest.approx(mean, abs=0.06)


def test_a_sample_is_itself_in_any_company():
    torch.manual_seed(0)
    net = LatentTransformer(LatentConfig(4, 3, width=16, layers=1, heads=2)).eval()
    torch.nn.init.normal_(net.out.weight, std=0.3)
    plan = Plan(rectified(), ancestral, steps=5)

    def draw(indices, batch):
        groups = draw_shapes(net, plan, indices, 7, Scale(0.2), 1, 8, 4, batch)
        return {d.index: d.shape["pos"][0] for group in groups for d in group}

    together = draw(range(9), 9)
    assert sorted(together) == list(range(9))
    for indices, batch in (([4], 1), ([8, 4, 0], 2)):
        for k, pos in draw(indices, batch).items():
            assert (pos - together[k]).abs().max() < 1e-5
    assert (together[4] - together[5]).abs().max() > 0.01


def test_raw_clouds_are_drawn_in_any_number_of_points():
    plan = Plan(rectified(), ddim(), steps=4)
    (drawn,) = draw_shapes(PointNetwork(PointConfig(width=16, tokens=4, rounds=1, blocks=1, heads=2)), plan, [0, 1], 0,
                           Scale(0.2), tokens=50, features=None)  # fmt: skip
    assert [d.shape["pos"].shape for d in drawn] == [(1, 50, 3)] * 2 and "feat" not in drawn[0].shape


def test_numbers_that_are_not_finite_are_named():
    class Broken(Gaussian):
        def forward(self, x, logsnr, previous=None):
            out = super().forward(x, logsnr)
            out["feat"][1] = float("nan")
            return out

    (drawn,) = draw_shapes(Broken(), Plan(rectified(), ddim(), 3), [5, 6], 0, Scale(1.0), tokens=4, features=2)
    assert drawn[0].shape is not None and drawn[0].reason is None
    assert drawn[1].index == 6 and drawn[1].shape is None and drawn[1].reason == "non-finite feat"
