"""A second opinion on neighbours, farthest points and the Chamfer loss: pytorch3d's, where it is installed."""

from __future__ import annotations

import pytest
import torch

from scigen.nn.chamfer import chamfer_loss
from scigen.nn.neighbours import farthest, knn

ops = pytest.importorskip("pytorch3d.ops", exc_type=ImportError)


@pytest.fixture
def clouds(rng):
    return torch.randn(3, 200, 3, generator=rng), torch.randn(3, 150, 3, generator=rng)


def test_neighbours_as_pytorch3d(clouds):
    a, b = clouds
    sizes = torch.tensor([150, 90, 31])
    distance, index = knn(a, b, 8, torch.arange(150) < sizes[:, None])
    theirs = ops.knn_points(a, b, lengths2=sizes, K=8)
    assert torch.equal(index, theirs.idx)
    assert torch.allclose(distance.square(), theirs.dists, atol=1e-5)


def test_farthest_points_as_pytorch3d(clouds):
    a, _ = clouds
    sizes = torch.tensor([200, 120, 64])
    ours = farthest(a, 50, torch.arange(200) < sizes[:, None], start=torch.zeros(3, dtype=torch.long))
    theirs = ops.sample_farthest_points(a, lengths=sizes, K=50)[1]  # starts at point 0
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("power", [1, 2])
def test_chamfer_loss_as_pytorch3d(clouds, power):
    loss = pytest.importorskip("pytorch3d.loss", exc_type=ImportError)
    a, b = (x.requires_grad_() for x in clouds)
    ours = chamfer_loss(a, b, power=power).mean()
    # Their norm 1 is |x| + |y| + |z|, so the power 1 is compared by their squared nearest distances.
    theirs = loss.chamfer_distance(a, b)[0] if power == 2 else _unsquared(a, b)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    for x, y in zip(torch.autograd.grad(ours, (a, b)), torch.autograd.grad(theirs, (a, b))):
        assert torch.allclose(x, y, atol=1e-6)


def _unsquared(a, b):
    return sum(ops.knn_points(x, y, K=1).dists.sqrt().mean() for x, y in ((a, b), (b, a)))
