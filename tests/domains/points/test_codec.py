"""The codec of clouds as users meet it, its loss, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from scigen.domains.points.batches import CloudBatches, Oriented
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.codec_loss import CodecLoss, codec_loss
from scigen.domains.points.codec_task import CodecTask
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.nn.point_encoder import CodecShape
from scigen.run.distributed import World
from tests.domains.points.solids import ellipsoid, packed

SHAPE = CodecShape(latents=8, feature=8, neighbours=256, width=32, heads=4, encoder_layers=1, decoder_layers=1)
ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def codec() -> CloudCodec:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return CloudCodec(PointCodec(SHAPE).eval(), points=100)


def clouds() -> list[Cloud]:
    rng = np.random.default_rng(5)
    pairs = [ellipsoid(n, rng) for n in (64, 600, 300)]
    return [Cloud(p, n if k else None) for k, (p, n) in enumerate(pairs)]


def test_a_cloud_does_not_depend_on_its_batch(codec: CloudCodec) -> None:
    together = codec.encode_all(clouds())
    assert together["pos"].shape == (3, 8, 3) and together["feat"].shape == (3, 8, 8) and together.mask.all()
    decoded = codec.decode(together)
    for k, cloud in enumerate(clouds()):
        alone = codec.encode(cloud)
        assert torch.allclose(alone["feat"][0], together["feat"][k], atol=1e-5)
        (out,) = codec.decode(alone)
        assert out.points.shape == out.normals.shape == (100, 3) and out.points.dtype == np.float32
        assert np.allclose(out.points, decoded[k].points, atol=1e-5)
        assert np.allclose(np.linalg.norm(out.normals, axis=1), 1, atol=1e-5)


def test_any_number_of_points_is_spread_over_all_latents(codec: CloudCodec) -> None:
    x = codec.encode(clouds()[1])
    for n in (1, 8, 100, 16384):
        (out,) = CloudCodec(codec.network, n).decode(x)
        assert len(out) == n
    assert np.allclose(CloudCodec(codec.network, 97).decode(x)[0].points, codec.decode(x)[0].points[:97]), (
        "as many codes"
    )


def test_a_perfect_copy_costs_nothing(rng: torch.Generator) -> None:
    points = 0.5 * normalize(torch.randn(2, 500, 3, generator=rng), dim=-1)
    x = Oriented(points, normalize(points, dim=-1))
    total, terms = codec_loss(x, Oriented(x.points.flip(1), x.normals.flip(1)), CodecLoss())
    assert float(total) < 1e-5 and set(terms) == {"cd", "normal"}
    turned = codec_loss(Oriented(x.points, -x.normals), x, CodecLoss())[1]
    assert float(turned["normal"]) == pytest.approx(2, abs=1e-5) and float(turned["cd"]) == 0


def test_the_distance_is_the_one_that_is_scored() -> None:
    """Two planes of the same lattice, .02 apart: CD-L1 is .02; a lattice twice as wide adds what its gaps cost."""
    i, j = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    plane = torch.stack([i, j, 0 * i], -1).reshape(1, -1, 3) * 0.1
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(plane)
    near = Oriented(plane + 0.02 * up, up)
    total, terms = codec_loss(near, Oriented(plane, up), CodecLoss(normal=0.0))
    assert float(terms["cd"]) == pytest.approx(2.0, rel=1e-4) and float(total) == float(terms["cd"])
    half = (i % 2 == 0) & (j % 2 == 0)
    sparse = Oriented(near.points[:, half.reshape(-1)], up[:, half.reshape(-1)])
    gap = [0.02, (0.02**2 + 0.1**2) ** 0.5, (0.02**2 + 0.1**2) ** 0.5, (0.02**2 + 0.02) ** 0.5]
    expected = (0.02 + sum(gap) / 4) / 2 / 0.01
    assert float(codec_loss(sparse, Oriented(plane, up), CodecLoss())[1]["cd"]) == pytest.approx(expected, rel=1e-4)


def test_clumps_cost_more_than_an_even_spread(rng: torch.Generator) -> None:
    def square(u: torch.Tensor) -> Oriented:
        points = torch.cat([u, torch.zeros(1, len(u[0]), 1)], -1)
        return Oriented(points, torch.tensor([0.0, 0.0, 1.0]).expand_as(points))

    target = square(torch.rand(1, 2048, 2, generator=rng))
    grid = torch.stack(torch.meshgrid(*[(torch.arange(45.0) + 0.5) / 45] * 2, indexing="ij"), -1).reshape(1, -1, 2)
    cost = [
        float(codec_loss(square(u), target, CodecLoss())[1]["cd"])
        for u in (grid, torch.rand(1, 2025, 2, generator=rng), torch.rand(1, 2025, 2, generator=rng).square())
    ]
    assert cost[0] < 0.93 * cost[1] < cost[1] < 0.9 * cost[2]


def task(network: PointCodec, **loss: float) -> CodecTask:
    config = CodecLoss(**loss)
    return CodecTask(network, SHAPE, CloudBatches.of([packed(3, 4096)], 2, 0), config)


def test_the_loss_of_a_step_is_reproducible_and_noise_makes_it_worse() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PointCodec(SHAPE)

    def value(seed: int, **loss: float) -> float:
        total, terms, count = task(network, **loss).loss(network, 3, ALONE, torch.Generator().manual_seed(seed))
        assert count == 2 and torch.isfinite(total) and total.requires_grad
        return float(terms["cd"].detach())

    assert value(1) == value(1) != value(2)
    assert value(1, pos_noise=0.5) > 1.2 * value(1, pos_noise=0.0)


def test_twenty_steps_lower_the_squared_distance_fivefold() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PointCodec(SHAPE)
    shape = packed(2, 4096)
    one = CodecTask(network, SHAPE, CloudBatches.of([shape], 1, 0), CodecLoss(pos_noise=0.0, feat_noise=0.0))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    seen = []
    for _ in range(20):
        total, terms, _ = one.loss(network, 0, ALONE, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        seen.append(float(terms["cd"].detach()))
    assert seen[-1] < 5**-0.5 * seen[0], seen
