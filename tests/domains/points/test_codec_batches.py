"""Batches of clouds: two samples that share no point, a function of (seed, step, rank) alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scigen.domains.points.batches import INPUTS, TARGETS, CloudBatches, Oriented, augmented
from scigen.errors import InputError
from tests.domains.points.solids import packed

SHAPES = packed(7, 4200)


def batches(batch: int = 2, seed: int = 0) -> CloudBatches:
    return CloudBatches.of([SHAPES], batch, seed)


def test_a_step_is_a_function_of_seed_step_and_rank() -> None:
    (a, b), (c, d) = batches().at(5), batches().at(5)
    assert torch.equal(a.points, c.points) and torch.equal(b.normals, d.normals)
    others = [batches(seed=1).at(5), batches().at(6), batches(1).at(5, 1, 2)]
    assert not any(torch.equal(b.points[:1], other.points[:1]) for _, other in others)


def test_workers_share_the_size_of_a_step() -> None:
    whole = batches(1)
    sizes = [[whole.at(step, rank, 2)[0].points.shape[1] for rank in range(2)] for step in range(6)]
    assert all(a == b for a, b in sizes) and len({a for a, _ in sizes}) > 1


def test_an_epoch_shows_every_training_shape_once_over_all_workers() -> None:
    whole = batches(1)
    rows = [whole.rows(step, rank, 2) for step in range(3) for rank in range(2)]
    assert sorted(np.concatenate(rows).tolist()) == list(range(6)), "the seventh shape is the test split"
    assert [whole.rows(step, 0, 2).tolist() for step in range(3)] != [
        whole.rows(step + 3, 0, 2).tolist() for step in range(3)
    ]


def test_input_and_target_share_no_point_and_lie_on_the_shape() -> None:
    whole, seen_sizes = batches(), set()
    for step in range(8):
        seen, target = whole.at(step)
        seen_sizes.add(seen.points.shape[1])
        assert target.points.shape == (2, TARGETS, 3)
        for k, row in enumerate(whole.rows(step)):
            stored = {tuple(p) for p in whole.points[row].astype(np.float32).tolist()}
            a, b = ({tuple(p) for p in x.points[k].tolist()} for x in (seen, target))
            assert a <= stored and b <= stored
            assert len(a & b) <= 5, "equal only where rounding made two points one"
        assert torch.allclose(target.normals.norm(dim=-1), torch.ones(2, TARGETS), atol=1e-5)
    assert seen_sizes <= set(INPUTS) and len(seen_sizes) > 1


def test_augmenting_keeps_normals_normal(rng: torch.Generator) -> None:
    """Before and after, an ellipsoid: its normal is the gradient of sum (x / a)^2, here with a = 0.4 s."""
    unit = torch.nn.functional.normalize(torch.randn(6, 500, 3, generator=rng), dim=-1)
    (out, twice) = augmented((Oriented(0.4 * unit, unit), Oriented(0.4 * unit, unit)), rng)
    axes = out.points.abs().amax(1, keepdim=True) * (1 + 1e-3)
    gradient = torch.nn.functional.normalize(out.points / axes.square(), dim=-1)
    assert (gradient * out.normals).sum(-1).min() > 0.999
    assert 0.36 * 0.98 < axes.min() and axes.max() < 0.4404
    assert torch.equal(out.points, twice.points), "input and target are one shape still"
    mirrored = (out.points[:, 0, 0] * unit[:, 0, 0]) < 0
    assert 0 < int(mirrored.sum()) < 6


def test_shapes_that_cannot_give_two_samples_are_left_out() -> None:
    short, bare = packed(3, 2048, name="short"), packed(3, 4200, name="bare", normals=False)
    assert len(CloudBatches.of([short, SHAPES, bare], 2, 0).points) == 6
    some = replace(SHAPES, size=np.array([4200, 100, 4100, 4200, 4200, 4200, 4200], np.int32))
    kept = CloudBatches.of([some], 2, 0)
    assert kept.points.shape == (5, 4100, 3), "no padding is ever drawn"
    with pytest.raises(InputError, match=r"the 4096 points that two samples take \('short' up to 2048, 'bare'"):
        CloudBatches.of([short, bare], 2, 0)
    with pytest.raises(InputError, match="6 shapes do not fill one batch of 8"):
        batches(8).at(0)
