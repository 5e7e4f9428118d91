"""The implicit network: what it must not see, what must not jump, and that it can learn a distance."""

from __future__ import annotations

import pytest
import torch

from scigen.nn.implicit import ImplicitNetwork, ImplicitShape
from scigen.state import State

TINY = ImplicitShape(feature=5, width=16, heads=2, layers=2, axes=4, neighbours=4, hidden=16)


@pytest.fixture
def network() -> ImplicitNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ImplicitNetwork(TINY).double()


def latents(rng: torch.Generator, count: int = 2, k: int = 9) -> State:
    pos, feat = (torch.randn(count, k, d, generator=rng, dtype=torch.float64) for d in (3, TINY.feature))
    return State({"pos": 0.3 * pos, "feat": feat}, torch.ones(count, k, dtype=torch.bool))


def rotation(rng: torch.Generator) -> torch.Tensor:
    q = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=torch.float64))[0]
    return q * torch.linalg.det(q)


def test_moved_and_turned_together_nothing_changes_but_a_mirror_image_does(network, rng) -> None:
    x, query = latents(rng), 0.4 * torch.randn(2, 50, 3, generator=rng, dtype=torch.float64)
    before = network(x, query)
    assert float(before.detach().std()) > 3e-4
    turn, shift = rotation(rng), torch.randn(3, generator=rng, dtype=torch.float64)
    moved = network(x.replace(pos=x["pos"] @ turn.T + shift), query @ turn.T + shift)
    assert torch.allclose(moved, before, atol=1e-10)
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert (network(x.replace(pos=x["pos"] * mirror), query * mirror) - before).abs().max() > 1e-5
    assert (network(x, query @ turn.T) - before).abs().max() > 1e-4, "turning the query alone does"


def test_the_order_of_latents_and_of_queries_does_not_matter(network, rng) -> None:
    x, query = latents(rng), 0.4 * torch.randn(2, 50, 3, generator=rng, dtype=torch.float64)
    order, other = torch.randperm(9, generator=rng), torch.randperm(50, generator=rng)
    found = network(x.map(lambda v: v[:, order]), query[:, other])
    assert torch.allclose(found, network(x, query)[:, other], atol=1e-10)


def test_no_jump_where_the_nearest_latents_change(network, rng) -> None:
    """Along a line through the latents the nearest four change many times; steps of 2e-4 never move the answer much."""
    x = latents(rng, 1)
    line = torch.linspace(-0.6, 0.6, 8_001, dtype=torch.float64)[:, None] * torch.tensor([0.6, 0.5, 0.62])
    index = (line[:, None] - x["pos"]).norm(dim=-1).topk(4, largest=False).indices.sort(1).values
    assert (index[1:] != index[:-1]).any(1).sum() > 3
    steps = network(x, line[None].double())[0].detach().diff().abs()
    assert float(steps.max()) < 2e-3


def test_it_learns_spheres_about_its_latents(rng) -> None:
    """Latents on spheres whose radius is told by a feature: |x| - r, for radii never seen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ImplicitNetwork(TINY)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)

    def batch(count: int) -> tuple[State, torch.Tensor, torch.Tensor]:
        radius = 0.2 + 0.25 * torch.rand(count, 1, 1, generator=rng)
        unit = torch.nn.functional.normalize(torch.randn(count, 12, 3, generator=rng), dim=-1)
        feat = torch.ones(count, 12, 5) * 4 * (radius - 0.3)
        query = (torch.rand(count, 100, 3, generator=rng) - 0.5) * 0.9
        return State({"pos": radius * unit, "feat": feat}, torch.ones(count, 12, dtype=torch.bool)), query, radius

    def error(count: int) -> torch.Tensor:
        x, query, radius = batch(count)
        return (net(x, query) - (query.norm(dim=-1) - radius[..., 0])).abs().mean()

    before = float(error(32).detach())
    for _ in range(50):
        optimizer.zero_grad()
        error(8).backward()
        optimizer.step()
    assert float(error(32).detach()) < 0.35 * before
