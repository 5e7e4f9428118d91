"""Distances of beliefs and the noised points of students, on tensors and on molecules."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.distill.match import certain, intervals, mismatch, noised, unit_source
from scigen.process.affine import rectified, ve
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from tests.distill.problems import guess, molecules, padded, sources


def test_agreement_is_zero_and_disagreement_is_counted_by_hand():
    process = molecules(rectified())
    x = sources(process, (3, 2))
    belief = guess(x, 0.5)
    assert mismatch(process, belief, belief, x).abs().max() < 1e-15
    moved = {**belief, "pos": belief["pos"] + torch.tensor([1.0, -1.0, 0.0]).reshape(1, 3, 1) * x.mask[..., None]}
    got = mismatch(process, belief, moved, x)
    assert (got - torch.tensor([6 / 6, 6 / 3])).abs().max() < 1e-12  # over 3 (n - 1) free directions
    sure = certain(process, x)
    want = -belief["atom"].gather(-1, x["atom"][..., None])[..., 0].log()
    got = mismatch(Product({"atom": process.parts["atom"]}, process.project), belief, sure, x)
    assert (got - (want * x.mask).sum(1) / x.mask.sum(1)).abs().max() < 1e-12


def test_pseudo_huber_lies_between_the_square_and_the_distance():
    process, x = rectified(), torch.zeros(3, 2, dtype=torch.float64)
    target = torch.tensor([[0.0, 0.0], [1e-6, 1e-6], [100.0, 100.0]], dtype=torch.float64)
    got = mismatch(process, x, target, x, huber=0.01)
    assert got[0] == 0 and abs(got[1] / (1e-12 / 0.02) - 1) < 1e-3 and abs(got[2] - (100 - 0.01)) < 1e-6
    with pytest.raises(ValueError, match="0.00054"):
        mismatch(process, x, target, x, huber=-1.0)


def test_a_confident_mistake_has_a_finite_gradient():
    process = uniform_tokens(2, keep_of(rectified()))
    belief = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    loss = mismatch(process, belief, torch.tensor([[[0.0, 1.0]]]), torch.zeros(1, 1, dtype=torch.long))
    loss.sum().backward()
    assert loss.isfinite().all() and belief.grad.isfinite().all()


def test_the_answer_ignores_padding():
    process = molecules(rectified())
    x = sources(process, (3, 2))
    wide = padded(x, 5)
    target = certain(process, wide)
    got = mismatch(process, guess(wide, 0.5), target, wide)
    assert (got - mismatch(process, guess(x, 0.5), certain(process, x), x)).abs().max() < 1e-12


def test_sources_have_unit_variance_and_noise_follows_each_samples_time():
    process = ve()
    like = torch.zeros(20_000, 1, dtype=torch.float64)
    assert abs(float(unit_source(process, like, torch.Generator().manual_seed(0)).std()) - 1) < 0.02
    t = torch.linspace(0.1, 0.9, 4, dtype=torch.float64)
    got = noised(process, torch.zeros(4, 1).double(), t, torch.Generator().manual_seed(0))[:, 0]
    z = torch.randn(4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))[:, 0]
    assert (got - process.sigma(t) * z).abs().max() < 1e-14


def test_intervals_are_runs_of_the_grid():
    grid = [1.0, 0.8, 0.5, 0.3, 0.0]
    rng = torch.Generator().manual_seed(0)
    runs = torch.stack(intervals(grid, 2, 200, rng), 1)
    assert {tuple(row) for row in runs.tolist()} == {(1.0, 0.8, 0.5), (0.5, 0.3, 0.0)}
    with pytest.raises(ValueError, match="multiple of 3"):
        intervals(grid, 3, 1, rng)
    assert math.isclose(float((runs[:, 0] == 1).double().mean()), 0.5, abs_tol=0.15)
