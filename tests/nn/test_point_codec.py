"""The codec of clouds: what may not change it, what must, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from scigen.nn.chamfer import chamfer_loss
from scigen.nn.point_codec import PointCodec
from scigen.nn.point_decoder import disk
from scigen.nn.point_encoder import CodecShape, gather_patches
from scigen.state import State

SHAPE = CodecShape(latents=8, feature=8, neighbours=256, width=32, heads=4, encoder_layers=1, decoder_layers=2)


@pytest.fixture(scope="module")
def network() -> PointCodec:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return PointCodec(SHAPE).eval()


def ellipsoids(batch: int, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points and normals of ellipsoids with different axes: no two points alike, and no symmetry that ties."""
    unit = normalize(torch.randn(batch, n, 3, generator=rng), dim=-1)
    axes = 0.2 + 0.3 * torch.rand(batch, 1, 3, generator=rng)
    return axes * unit, normalize(unit / axes, dim=-1)


def encode(network: PointCodec, points: Tensor, normals: Tensor | None, mask: Tensor | None = None) -> State:
    with torch.no_grad():
        return network.encoder(gather_patches(points, normals, SHAPE, mask))


def same(a: State, b: State, tolerance: float = 1e-5) -> bool:
    return all(torch.allclose(a[name], b[name], atol=tolerance) for name in ("pos", "feat"))


def test_the_order_of_points_does_not_matter(network: PointCodec, rng: torch.Generator) -> None:
    points, normals = ellipsoids(2, 300, rng)
    order = torch.randperm(300, generator=rng)
    assert same(encode(network, points, normals), encode(network, points[:, order], normals[:, order]))


def test_latents_and_decoded_points_move_with_the_cloud(network: PointCodec, rng: torch.Generator) -> None:
    points, normals = ellipsoids(2, 300, rng)
    step = torch.tensor([0.3, -0.2, 0.1])
    here, there = encode(network, points, normals), encode(network, points + step, normals)
    assert same(here.replace(pos=here["pos"] + step), there)
    with torch.no_grad():
        (a, n), (b, m) = (network.decoder(x, disk(5)) for x in (here, there))
    assert torch.allclose(a + step, b, atol=1e-5) and torch.allclose(n, m, atol=1e-4)


def test_neither_padding_nor_the_batch_shows(network: PointCodec, rng: torch.Generator) -> None:
    points, normals = ellipsoids(3, 300, rng)
    sizes = torch.tensor([300, 200, 64])
    mask = torch.arange(300) < sizes[:, None]
    junk = torch.where(mask[..., None], points, torch.full_like(points, 7.0))
    together = encode(network, junk, normals, mask)
    for k, n in enumerate(sizes.tolist()):
        alone = encode(network, points[k : k + 1, :n], normals[k : k + 1, :n])
        assert same(alone, together.map(lambda x, k=k: x[k : k + 1]))


def test_latents_of_another_order_decode_to_the_same_points(network: PointCodec, rng: torch.Generator) -> None:
    x = encode(network, *ellipsoids(1, 300, rng))
    order = torch.randperm(SHAPE.latents, generator=rng)
    with torch.no_grad():
        a = network.decoder(x, disk(6))[0].unflatten(1, (6, -1))
        b = network.decoder(x.map(lambda y: y[:, order]), disk(6))[0].unflatten(1, (6, -1))
    assert torch.allclose(a[:, :, order], b, atol=1e-5)


def test_normals_are_read_where_they_are_known(network: PointCodec, rng: torch.Generator) -> None:
    points, normals = ellipsoids(2, 300, rng)
    without = encode(network, points, None)
    assert not same(encode(network, points, normals), without, 1e-3)
    with torch.no_grad():
        half = network.encoder(gather_patches(points, normals, SHAPE, oriented=torch.tensor([True, False])))
    assert torch.allclose(half["feat"][1], without["feat"][1], atol=1e-5)


def test_features_have_unit_rms_and_positions_stay_near(network: PointCodec, rng: torch.Generator) -> None:
    points, normals = ellipsoids(2, 300, rng)
    x = encode(network, points, normals)
    assert torch.allclose(x["feat"].square().mean(-1), torch.ones(2, SHAPE.latents), atol=1e-3)
    assert torch.cdist(x["pos"], points).amin(-1).max() <= 0.1 * math.sqrt(3)
    assert x.mask.all() and x.mask.shape == (2, SHAPE.latents)


@pytest.mark.parametrize("codes", [1, 7, 64])
def test_any_number_of_points_with_unit_normals(network: PointCodec, codes: int, rng: torch.Generator) -> None:
    with torch.no_grad():
        points, normals = network.decoder(encode(network, *ellipsoids(2, 300, rng)), disk(codes))
    assert points.shape == normals.shape == (2, codes * SHAPE.latents, 3)
    assert torch.allclose(normals.norm(dim=-1), torch.ones(2, codes * SHAPE.latents), atol=1e-5)


@pytest.mark.parametrize("n", [64, 512, 4096])
def test_a_patch_is_as_wide_in_a_dense_cloud_as_in_a_sparse_one(n: int, rng: torch.Generator) -> None:
    x = gather_patches(*ellipsoids(1, n, rng), SHAPE)
    assert x.offset.shape == (1, SHAPE.latents, n * SHAPE.neighbours // 2048, 3) and x.mask is None
    # A ball that holds an eighth of an ellipsoid's points is as wide however many there are.
    assert 0.15 < x.offset.norm(dim=-1).amax(-1).mean() < 0.35


def test_too_small_a_cloud_is_refused(rng: torch.Generator) -> None:
    points, _ = ellipsoids(2, 20, rng)
    mask = torch.arange(20) < torch.tensor([[20], [7]])
    with pytest.raises(ValueError, match="a cloud of 7 points for 8 latent points"):
        gather_patches(points, None, SHAPE, mask)


@pytest.mark.parametrize(("turn", "shift"), [(0.0, 0.5), (0.3, 0.9)])
def test_the_disk_is_evenly_filled(turn: float, shift: float) -> None:
    u = disk(1000, turn, shift)
    radius = u.norm(dim=-1)
    assert radius.max() <= 1
    for share in (0.1, 0.25, 0.5, 0.9):  # a disk of radius r holds r^2 of them
        assert abs((radius < share**0.5).float().mean() - share) <= 0.002
    apart = (torch.cdist(u, u) + 9 * torch.eye(1000)).amin(1)
    assert apart.min() > 0.5 * (math.pi / 1000) ** 0.5 and u.mean(0).abs().max() < 0.01


def test_gradients_reach_every_weight(rng: torch.Generator) -> None:
    network = PointCodec(SHAPE)
    points, normals = ellipsoids(2, 300, rng)
    mask = torch.arange(300) < torch.tensor([[300], [200]])
    noise = torch.zeros(2, 8, 3), torch.zeros(2, 8, 8)
    out, turned = network(gather_patches(points, normals, SHAPE, mask), disk(9), *noise)
    (chamfer_loss(out, points).sum() + (turned * normals[:, :72]).sum()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_noise_is_added_to_the_latents(network: PointCodec, rng: torch.Generator) -> None:
    points, normals = ellipsoids(1, 300, rng)
    step = torch.tensor([0.1, 0.0, -0.2]).expand(1, 8, 3)
    zero = torch.zeros(1, 8, 3), torch.zeros(1, 8, 8)
    with torch.no_grad():
        patches = gather_patches(points, normals, SHAPE)
        still, moved = network(patches, disk(4), *zero)[0], network(patches, disk(4), step, zero[1])[0]
        other = network(patches, disk(4), zero[0], zero[1] + torch.randn(1, 8, 8, generator=rng))[0]
    assert torch.allclose(still + step[:, :1], moved, atol=1e-5), "one step for all moves the shape"
    assert not torch.allclose(still, other, atol=1e-3)


def test_half_precision_is_close(network: PointCodec, rng: torch.Generator) -> None:
    x = encode(network, *ellipsoids(2, 300, rng))
    with torch.no_grad():
        exact = network.decoder(x, disk(16))[0]
        with torch.autocast("cpu", torch.bfloat16):
            half = network.decoder(x, disk(16))[0]
    assert half.dtype == torch.float32 and (exact - half).abs().max() < 0.01
