"""Places that follow others: where Lloyd steps lead in closed form, what may not change them, and what they are for."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from scigen.domains.points.latents import assigned
from scigen.nn.layout import following
from scigen.nn.neighbours import farthest, gather
from scigen.state import State


def bumpy(n: int, rng: torch.Generator, batch: int = 2) -> torch.Tensor:
    """Points of ellipsoids."""
    unit = normalize(torch.randn(batch, n, 3, generator=rng), dim=-1)
    return unit * torch.tensor([[[0.5, 0.3, 0.2]], [[0.2, 0.5, 0.4]]])[:batch]


def test_each_place_goes_to_the_point_in_the_middle_of_its_cluster(rng: torch.Generator) -> None:
    middle = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]])
    arms = 0.5 * torch.cat([torch.zeros(1, 3), torch.eye(3), -torch.eye(3)])
    cloud = (middle[:, None] + arms).flatten(0, 1)[torch.randperm(28, generator=rng)][None]
    begin = middle + 0.9 * torch.randn(4, 3, generator=rng).clamp(-1, 1)
    assert torch.allclose(following(cloud, begin[None])[0], middle, atol=1e-6)


def test_a_place_that_is_nearest_to_nothing_stays_and_ends_on_the_cloud() -> None:
    line = torch.stack([torch.linspace(0, 1, 11), torch.zeros(11), torch.zeros(11)], 1)[None]
    far = torch.tensor([[[0.5, 0.1, 0], [0.32, 5.0, 0]]])
    assert torch.allclose(following(line, far), torch.tensor([[[0.5, 0, 0], [0.3, 0, 0]]]), atol=1e-6)


def test_places_move_with_the_cloud_and_know_no_order_of_points(rng: torch.Generator) -> None:
    cloud, step = bumpy(300, rng), torch.tensor([0.3, -0.2, 0.1])
    begin = gather(cloud, farthest(cloud, 16)) + 0.05 * torch.randn(2, 16, 3, generator=rng)
    found = following(cloud, begin)
    assert (found[:, :, None] == cloud[:, None]).all(-1).any(-1).all(), "points of the cloud"
    assert torch.allclose(following(cloud + step, begin + step), found + step, atol=1e-5)
    order, other = torch.randperm(300, generator=rng), torch.randperm(16, generator=rng)
    assert torch.allclose(following(cloud[:, order], begin), found, atol=1e-6)
    assert torch.allclose(following(cloud, begin[:, other]), found[:, other], atol=1e-6)


def test_padding_does_not_show(rng: torch.Generator) -> None:
    cloud = bumpy(300, rng)
    begin, mask = gather(cloud, farthest(cloud, 16)) + 0.02, torch.arange(300) < torch.tensor([[300], [200]])
    junk = torch.where(mask[..., None], cloud, torch.full_like(cloud, 7.0))
    found = following(junk, begin, mask)
    assert torch.allclose(found[1], following(cloud[1:, :200], begin[1:])[0], atol=1e-6)
    assert torch.allclose(found[0], following(cloud[:1], begin[:1])[0], atol=1e-6)


def test_two_samples_of_a_surface_get_like_places_and_farthest_points_are_far_apart(rng: torch.Generator) -> None:
    k = 32
    begin = gather(bumpy(2048, rng), farthest(bumpy(2048, rng), k))

    def apart(a: torch.Tensor, b: torch.Tensor) -> float:
        order = assigned(State({"pos": a}, torch.ones(2, k, dtype=torch.bool)), b)
        return float((gather(a, order) - b).square().mean().sqrt())

    one, two = bumpy(2048, rng), bumpy(2048, rng)
    picked = apart(*(gather(x, farthest(x, k)) for x in (one, two)))
    followed = float((following(one, begin) - following(two, begin)).square().mean().sqrt())
    assert followed < 0.4 * picked
    cover = [float(torch.cdist(one, p).amin(-1).mean()) for p in (following(one, begin), gather(one, farthest(one, k)))]
    assert cover[0] < 1.1 * cover[1], "and as evenly"
