"""The implicit network: what it must not see, what must not jump, and that it can learn a distance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scigen.nn.implicit import ImplicitNetwork, ImplicitShape, _terms, _values
from scigen.nn.point_decoder import PointDecoder
from scigen.nn.point_encoder import CodecShape
from scigen.state import State

TINY = ImplicitShape(feature=5, width=16, heads=2, layers=2, neighbours=4, hidden=16)


@pytest.fixture
def network() -> ImplicitNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ImplicitNetwork(TINY).double()


def latents(rng: torch.Generator, count: int = 2, k: int = 9) -> State:
    pos, feat = (torch.randn(count, k, d, generator=rng, dtype=torch.float64) for d in (3, TINY.feature))
    return State({"pos": 0.3 * pos, "feat": feat}, torch.ones(count, k, dtype=torch.bool))


def test_moved_together_nothing_changes(network, rng) -> None:
    x, query = latents(rng), 0.4 * torch.randn(2, 50, 3, generator=rng, dtype=torch.float64)
    before = network(x, query)
    assert float(before.detach().std()) > 3e-4
    shift = torch.randn(3, generator=rng, dtype=torch.float64)
    assert torch.allclose(network(x.replace(pos=x["pos"] + shift), query + shift), before, atol=1e-10)
    assert (network(x, query + shift) - before).abs().max() > 1e-4, "moving the query alone does"


def test_quadrics_by_hand(rng) -> None:
    """Each pair's value is s.As + a.s + b, whichever latents a query asks and however unevenly they are asked."""
    quadrics = torch.randn(2, 5, 10, 3, generator=rng, dtype=torch.float64)
    index = torch.randint(3, (2, 7, 4), generator=rng)  # the last two latents are never asked
    step = torch.randn(2, 7, 4, 3, generator=rng, dtype=torch.float64)
    found = _values(quadrics, _terms(step), index)
    for b, q, j, h in ((0, 0, 0, 0), (1, 6, 3, 2), (0, 3, 2, 1)):
        c = quadrics[b, index[b, q, j], :, h]
        x, y, z = (step[b, q, j] / 0.15).tolist()
        bent = c[4] * x * x + c[5] * y * y + c[6] * z * z + c[7] * x * z + c[8] * y * x + c[9] * z * y
        assert float(found[b, q, j, h]) == pytest.approx(float(c[0] + c[1] * x + c[2] * y + c[3] * z + bent))


def test_gradients_are_those_of_finite_differences(network, rng) -> None:
    x, query = latents(rng, 1, 5), 0.3 * torch.randn(1, 3, 3, generator=rng, dtype=torch.float64)
    feat = x["feat"].requires_grad_()
    assert torch.autograd.gradcheck(lambda f: network(x.replace(feat=f), query), (feat,))


def test_a_network_of_the_codecs_shape_begins_with_how_it_reads_latents(rng) -> None:
    shape = CodecShape(latents=9, feature=5, width=16, heads=2, decoder_layers=2, point_width=8)
    decoder = PointDecoder(shape)
    net = ImplicitNetwork(TINY)
    assert net.read_as(decoder)
    assert torch.equal(net.layers[1].qkv.weight, decoder.layers[1].qkv.weight)
    assert torch.equal(net.token.weight, decoder.token.weight) and torch.equal(net.norm.bias, decoder.norm.bias)
    before = net.token.weight.clone()
    for other in (replace(shape, decoder_layers=3), replace(shape, decoder_layers=1), replace(shape, width=32)):
        assert not net.read_as(PointDecoder(other))
    assert torch.equal(net.token.weight, before)


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
