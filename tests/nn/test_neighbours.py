"""Neighbours and farthest points against brute force, SciPy, and the definitions, with padding and by both searches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from scigen.nn import neighbours
from scigen.nn.chamfer import chamfer_loss, nearest
from scigen.nn.neighbours import farthest, gather, knn

SIZES = (40, 64, 51)


@pytest.fixture
def padded(rng):
    """Three clouds of different sizes; the padding would win every search that forgets the mask."""
    points = torch.randn(len(SIZES), 64, 3, generator=rng, dtype=torch.float64)
    mask = torch.arange(64) < torch.tensor(SIZES)[:, None]
    return points.masked_fill(~mask[..., None], 0.0), mask


@pytest.fixture(params=["_trees", "_blocks"])
def search(request, monkeypatch):
    monkeypatch.setattr(neighbours, "_TREE", 0 if request.param == "_trees" else 1 << 60)
    monkeypatch.setattr(neighbours, "_BLOCK", 700)  # several blocks for these clouds
    return request.param


def test_knn_is_scipys_on_every_cloud(search, padded, rng):
    points, mask = padded
    query = torch.randn(len(SIZES), 17, 3, generator=rng, dtype=torch.float64)
    distance, index = knn(query, points, 5, mask)
    for b, n in enumerate(SIZES):
        expected, which = cKDTree(points[b, :n].numpy()).query(query[b].numpy(), k=5)
        assert np.array_equal(index[b].numpy(), which)
        assert np.allclose(distance[b].numpy(), expected, atol=1e-14)


def test_knn_does_not_see_how_points_are_listed(search, padded):
    points, mask = padded
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    distance, index = knn(points, points, 4, mask)
    moved, theirs = knn(points, points[:, order], 4, mask[:, order])
    rows = mask[:, :, None].expand_as(index)
    assert torch.equal(order[theirs][rows], index[rows]) and torch.equal(moved[rows], distance[rows])


def test_distances_of_close_points_do_not_cancel(search):
    # |q|^2 - 2 q.p + |p|^2 in float32 is off by 1e-3 at this distance from the origin: the order would be noise.
    points = torch.tensor([[[100.0, 0, 0], [100.001, 0, 0], [100.003, 0, 0]]])
    distance, index = knn(points[:, :1], points, 3)
    assert index.tolist() == [[[0, 1, 2]]] and distance[0, 0, 2].item() == pytest.approx(0.003, rel=1e-2)


def test_gradients_are_the_unit_vectors_and_zero_at_zero(search, rng):
    query = torch.randn(1, 6, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    points = torch.randn(1, 9, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, p: knn(q, p, 3)[0], (query, points))
    own = torch.randn(1, 9, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    knn(own, own, 1)[0].sum().backward()
    assert torch.equal(own.grad, torch.zeros_like(own))


def test_half_precision_is_searched_in_single(search, rng):
    query, points = torch.rand(1, 5, 3, generator=rng), torch.rand(1, 30, 3, generator=rng)
    rough = [x.bfloat16() for x in (query, points)]
    assert torch.equal(knn(*rough, 3)[1], knn(*(x.float() for x in rough), 3)[1])


@pytest.mark.parametrize("call", [knn, lambda q, p, k, m: farthest(p, k, m)])
@pytest.mark.parametrize("k", [0, 41])
def test_more_neighbours_than_points_are_refused(padded, call, k):
    points, mask = padded
    with pytest.raises(ValueError, match=rf"\[1, 40\], the smallest cloud's size, got {k}"):
        call(points, points, k, mask)


def test_farthest_follows_its_definition(padded):
    points, mask = padded
    index = farthest(points, 12, mask)
    for b, n in enumerate(SIZES):
        cloud = points[b, :n].numpy()
        chosen = [int(((cloud - cloud.mean(0)) ** 2).sum(1).argmin())]
        while len(chosen) < 12:
            near = ((cloud[:, None] - cloud[chosen]) ** 2).sum(-1).min(1)
            chosen.append(int(near.argmax()))
        assert index[b].tolist() == chosen


def test_farthest_is_one_set_whatever_the_order_and_the_pose(padded):
    points, mask = padded
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))[0]
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    moved = (points @ turn + 5.0)[:, order]
    assert torch.equal(order[farthest(moved, 20, mask[:, order])], farthest(points, 20, mask))


def test_farthest_starts_where_told_and_never_repeats():
    points = torch.tensor([[[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [3, 0, 0]]])
    assert farthest(points, 3, start=torch.tensor([3])).tolist()[0][0] == 3
    assert sorted(farthest(points, 4)[0].tolist()) == [0, 1, 2, 3]  # two points coincide


def test_farthest_of_a_lattice_is_spread_evenly():
    line = torch.arange(9.0)[:, None] * torch.tensor([1.0, 0, 0])
    chosen = farthest(line[None], 5)[0]
    assert chosen[0] == 4 and sorted(chosen.tolist()) == [0, 2, 4, 6, 8]


def test_gather_takes_rows_of_their_own_cloud():
    values = torch.arange(12.0).reshape(2, 3, 2)
    index = torch.tensor([[[2, 0]], [[1, 1]]])
    assert gather(values, index).tolist() == [[[[4, 5], [0, 1]]], [[[8, 9], [8, 9]]]]


@pytest.mark.parametrize("power", [1, 2])
def test_chamfer_loss_is_the_definition_cloud_by_cloud(padded, rng, power):
    points, mask = padded
    other = torch.randn(len(SIZES), 30, 3, generator=rng, dtype=torch.float64)
    loss = chamfer_loss(points, other, mask, power=power)
    for b, n in enumerate(SIZES):
        table = torch.cdist(points[b, :n], other[b]) ** power
        assert loss[b].item() == pytest.approx((table.min(1)[0].mean() + table.min(0)[0].mean()).item(), abs=1e-12)
    assert torch.allclose(loss, chamfer_loss(other, points, None, mask, power=power))


def test_chamfer_descent_moves_a_cloud_onto_another(rng):
    target, x = torch.rand(2, 50, 3, generator=rng), torch.rand(2, 50, 3, generator=rng).requires_grad_()
    before = chamfer_loss(x, target).mean().item()
    optimizer = torch.optim.Adam([x], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        chamfer_loss(x, target).sum().backward()
        optimizer.step()
    assert chamfer_loss(x, target).mean().item() < 0.25 * before  # local minima remain
    assert nearest(x, target)[1].shape == (2, 50)


def test_infinite_coordinates_are_refused_by_trees(monkeypatch):
    monkeypatch.setattr(neighbours, "_TREE", 0)
    points = torch.zeros(1, 4, 3)
    points[0, 1, 2] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        knn(points, points, 1)
