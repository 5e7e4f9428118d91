"""Latent points that look at a picture: symmetry, the null picture, batches, and training and drawing by the CLI."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scigen.cli.app import run
from scigen.domains.image3d.folder import read_views
from scigen.domains.image3d.latent_prior import LatentPrior
from scigen.domains.image3d.latents_task import PictureLatentBatches, PictureLatentsTask
from scigen.domains.image3d.rendering import render_set
from scigen.domains.image3d.rig import CUBE
from scigen.domains.image3d.viewset import ViewSet, save_views, views_path
from scigen.domains.points.prior_task import PriorLoss
from scigen.domains.points.process import Scale, shape_process
from scigen.domains.points.sampler import Plan
from scigen.domains.shapes.pack import save_shapes, shapes_path
from scigen.errors import InputError, NumericError
from scigen.nn.picture_latents import PictureLatents, PictureLatentsShape
from scigen.process.affine import rectified
from scigen.run.distributed import World
from scigen.solver import dpmpp_2m
from scigen.state import State
from tests.cli import tiny_points as tiny
from tests.domains.points.solids import packed
from tests.domains.shapes.bodies import ball

SMALL = PictureLatentsShape(pixels=16, patch=8, features=4, width=32, layers=2, looks=1, heads=4, octaves=2)


def network(lively: bool = True) -> PictureLatents:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = PictureLatents(SMALL)
        for p in net.parameters():
            if lively and not p.any():
                torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def state(picture: bool = True) -> State:
    rng = torch.Generator().manual_seed(0)
    fields = {"pos": torch.randn(2, 6, 3, generator=rng), "feat": torch.randn(2, 6, 4, generator=rng)}
    if picture:
        fields["picture"] = torch.randn(2, 4, 256, generator=rng)
    return State(fields, torch.ones(2, 6, dtype=torch.bool))


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return render_set(packed(6, 900), pixels=16, pictures=2).views


def test_points_have_no_order_and_the_picture_is_looked_at() -> None:
    net, x, logsnr = network(), state(), torch.tensor([0.0, -2.0])
    out, order = net(x, logsnr), torch.tensor([3, 0, 5, 1, 4, 2])
    turned = net(x.replace(pos=x["pos"][:, order], feat=x["feat"][:, order]), logsnr)
    for name in ("pos", "feat"):
        torch.testing.assert_close(turned[name], out[name][:, order], atol=1e-5, rtol=1e-4)
    for cell in range(4):
        other = x["picture"].clone()
        other[:, cell] += 1
        moved = (net(x.replace(picture=other), logsnr)["pos"] - out["pos"]).abs().amax((0, 2))
        assert (moved > 1e-7).all(), "every patch moves the belief about every point"
    torch.testing.assert_close(net(state(picture=False), logsnr), net(x.replace(picture=0 * x["picture"]), logsnr))
    untrained = network(lively=False)(x, logsnr)["pos"]
    torch.testing.assert_close(untrained, torch.sigmoid(logsnr)[:, None, None].sqrt() * x["pos"])


def batches(views: ViewSet, batch: int = 4) -> PictureLatentBatches:
    rng = torch.Generator().manual_seed(0)
    fields = {name: torch.randn(6, 5, d, generator=rng) for name, d in (("pos", 3), ("feat", 4))}
    x = State(fields, torch.ones(6, 5, dtype=torch.bool))
    return PictureLatentBatches(views, np.arange(6), x, 8, batch, 3)


def test_batches_pair_each_shape_with_a_picture_of_it(views: ViewSet) -> None:
    of, own = batches(views), batches(views).at(7)["picture"]
    again, another = of.at(7), of.at(8)
    assert torch.equal(again["picture"], of.at(7)["picture"]) and own.shape == (4, 4, 256)
    assert not torch.equal(again["picture"], another["picture"])
    for k in range(4):
        row = int((of.x["pos"] == again["pos"][k]).all((1, 2)).nonzero())
        covers = [views.subject(row, i).mask for i in range(2)]
        seen = again["picture"][k].reshape(2, 2, 8, 8, 4)[..., 3].permute(0, 2, 1, 3).reshape(16, 16).numpy()
        assert min(np.abs(seen - cover).max() for cover in covers) < 1e-6
    with pytest.raises(InputError, match="do not fill one batch"):
        batches(views, 9).at(0)


def test_the_loss_falls_and_hides_some_pictures(views: ViewSet) -> None:
    net, hidden = network(lively=False), []

    def watched(x: State, logsnr: torch.Tensor, previous: object) -> dict[str, torch.Tensor]:
        hidden.extend((~x["picture"].flatten(1).any(1)).tolist())
        return net(x, logsnr)

    pairs = batches(views)
    same = replace(pairs, x=pairs.x.map(lambda v: v[:1].expand(6, *v.shape[1:])))
    task = PictureLatentsTask(net, shape_process(rectified()), same, Scale(1.0), PriorLoss(5.0, forget=0.5))
    adam, rng, losses = torch.optim.Adam(net.parameters(), 1e-2), torch.Generator().manual_seed(0), []
    for step in range(40):
        loss, terms, count = task.loss(watched, step, World(0, 1, torch.device("cpu")), rng)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        assert count == 4 and set(terms) == {"pos", "feat"}
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8]) and 0.3 < np.mean(hidden) < 0.7


def test_draws_stand_alone_and_a_failed_one_is_views_of_nothing(views: ViewSet) -> None:
    plan = Plan(rectified(), dpmpp_2m, 3)
    seen: list[np.ndarray] = []

    def decode(latents: State) -> object:
        seen.append(latents["pos"].numpy())
        if len(seen) == 2:
            raise NumericError("no surface")
        return ball(0.4, rings=8)

    prior = LatentPrior(network(), Scale(0.5), plan, 5, decode)
    three = prior.sample(views.subject(0, 0), 3, seed=4)
    assert three[0].solid.any() and not three[1].solid.any() and three[2].depth is not None
    prior.sample(views.subject(0, 0), 1, seed=4)
    np.testing.assert_allclose(seen[3], seen[0], atol=1e-5)
    assert np.abs(seen[2] - seen[0]).max() > 1e-2 and prior.rig is CUBE
    with pytest.raises(InputError, match="16 pixels"):
        prior.sample(type(views.subject(0, 0))(np.ones((20, 20, 3)), np.ones((20, 20))))


def test_the_command_line_trains_it_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    shapes = packed(6, 900)
    shapes_path("x").parent.mkdir()
    save_shapes(shapes_path(shapes.name), shapes)
    views_path("x").parent.mkdir()
    save_views(views_path(shapes.name), render_set(shapes, pixels=16, pictures=2).views)
    codec = tiny.codec(tmp_path / "weights")
    of = {"data": shapes.name, "shapes": shapes.name, "codec": codec, "network.pixels": 16, "network.width": 16,
          "network.heads": 2, "network.layers": 1, "network.looks": 1, "network.features": tiny.CODEC["feature"],
          "train.batch": 2, "train.steps": 2, "train.minutes": "null"}  # fmt: skip
    words = [part for key, value in of.items() for part in ("-s", f"{key}={value}")]
    assert run(["train", "images/latents", "--out", str(tmp_path / "run"), *words]) == 0
    assert "--prior latent" in capsys.readouterr().out
    card = json.loads((tmp_path / "run" / "weights.json").read_text())
    assert card["domain"] == "image-latents" and card["codec"]["latents"] == tiny.CODEC["latents"]
    assert card["data"]["shapes"] == int((shapes.split == 0).sum())

    picture = np.full((40, 40, 4), 0, np.uint8)
    picture[10:30, 8:32] = [200, 80, 40, 255]
    Image.fromarray(picture).save(tmp_path / "photo.png")
    weights = ["--weights", str(tmp_path / "run" / "weights.safetensors")]
    drawn = ["views", str(tmp_path / "photo.png"), "--prior", "latent", "--steps", "2", "--out", str(tmp_path / "out")]
    assert run([*drawn, *weights, "--samples", "2"]) == 0
    assert read_views(tmp_path / "out" / "views_2.npz", CUBE).pixels == 16
    capsys.readouterr()
    assert run([*drawn, *weights, "--guidance", "2"]) == 2
    assert "--prior latent" in capsys.readouterr().err
    assert run([*drawn, "--weights", str(codec)]) == 3
    assert "not for latent points" in capsys.readouterr().err
    assert run(["train", "images/latents", *words, "-s", "network.features=5", "--out", str(tmp_path / "no")]) == 3
    assert "features" in capsys.readouterr().err
