"""Analog bits: the codec, the closed-form belief, and a known law of eight tokens drawn through affine solvers."""

from __future__ import annotations

import math

import pytest
import torch

from scigen import oracle
from scigen.process.affine import cosine, rectified, ve, vp
from scigen.process.bits import bits_belief, codewords, exact_bits, from_bits, to_bits
from scigen.solver import dpmpp_2m, sample
from scigen.solver.grids import logsnr_uniform

LAW = torch.tensor([0.02, 0.2, 0.05, 0.13, 0.3, 0.1, 0.15, 0.05], dtype=torch.float64)


@pytest.mark.parametrize("classes", [2, 5, 8, 256])
def test_round_trip(classes):
    tokens = torch.arange(classes)
    bits = to_bits(tokens, classes)
    assert torch.equal(from_bits(bits, classes), tokens)
    assert bits.shape == (classes, math.ceil(math.log2(classes))) and torch.equal(bits.abs(), torch.ones_like(bits))
    assert bits.unique(dim=0).shape[0] == classes
    assert torch.equal(bits_belief(torch.eye(classes)), bits)


def test_256_integers_have_their_binary_digits():
    bits = to_bits(torch.arange(256), 256)
    assert [int("".join("1" if b > 0 else "0" for b in row), 2) for row in bits.tolist()] == list(range(256))


def test_noise_never_leads_out_of_the_table(rng):
    noisy = 5 * torch.randn(4, 1000, 3, generator=rng, dtype=torch.float64)
    assert from_bits(noisy, 5).max() == 4 and from_bits(noisy, 5).min() == 0
    nearest = torch.cdist(noisy, codewords(5).double().expand(4, -1, -1)).argmin(-1)
    assert torch.equal(from_bits(noisy, 5), nearest)
    assert torch.equal(from_bits(noisy.bfloat16(), 8), from_bits(noisy.bfloat16().sign(), 8))


@pytest.mark.parametrize("affine", [vp(), ve(), cosine(), rectified()], ids=["vp", "ve", "cosine", "flow"])
def test_belief_is_that_of_a_mixture_of_narrow_gaussians(affine):
    x = torch.randn(32, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    narrow = oracle.mixture(affine, LAW, codewords(8).double(), 1e-12 * torch.eye(3).double().expand(8, 3, 3))
    for t in (0.05, 0.3, 0.7, 0.99):
        assert (exact_bits(affine, LAW)(x, t) - narrow(x, t)).abs().max() < 1e-7


def test_belief_is_finite_at_both_ends():
    x = torch.tensor([[0.9, -1.1, 1.0], [-1.0, -1.0, 1.0]])
    for affine in (rectified(), cosine(), vp()):
        belief = exact_bits(affine, LAW)
        assert torch.equal(belief(x, 0.0), x.sign()) and belief(x, 0.0).dtype == torch.float32
    assert (exact_bits(rectified(), LAW)(x, 1.0) - bits_belief(LAW).float()).abs().max() < 1e-6


def quantile_map(affine, solver, p, steps):
    """Share of the source that a deterministic solver sends to +1 when the law of one bit is (1 - p, p).

    On a line the flow keeps the order of points, so the two halves meet at one start, found by bisection.
    """
    denoise = exact_bits(affine, torch.tensor([1 - p, p], dtype=torch.float64))
    grid = logsnr_uniform(affine, steps, -12, 12)
    low, high = -20.0, 20.0
    for _ in range(6):  # each pass cuts the bracket by 64
        starts = torch.linspace(low, high, 65, dtype=torch.float64)[:, None]
        end, _ = sample(affine, denoise, starts * affine.sigma(1.0), grid, torch.Generator(), solver)
        first = int((end[:, 0] > 0).double().argmax())
        low, high = float(starts[first - 1]), float(starts[first])
    return 0.5 * math.erfc(low / math.sqrt(2))


@pytest.mark.parametrize("p", [0.8, 0.03])
def test_one_bit_is_drawn_by_its_law_without_a_draw(p):
    """Deterministic: the source's mass above the watershed is p, to the order of the solver."""
    errors = {n: abs(quantile_map(rectified(), dpmpp_2m, p, n) - p) for n in (20, 80)}
    print(p, errors)
    assert errors[80] < 3e-4
    assert errors[80] < errors[20] / 8


def test_eight_tokens_are_drawn_at_their_frequencies():
    """3 bits, 1e5 draws, every frequency within four standard errors."""
    count, affine = 100_000, rectified()
    x = affine.source(torch.zeros(count, 3), torch.Generator().manual_seed(0))
    out, belief = sample(
        affine, exact_bits(affine, LAW), x, logsnr_uniform(affine, 32, -8, 8), torch.Generator(), dpmpp_2m
    )
    tokens = from_bits(belief, 8)
    frequency = torch.bincount(tokens, minlength=8) / count
    assert torch.equal(tokens, from_bits(out, 8)) and (belief.abs() > 0.99).double().mean() > 0.999
    assert ((frequency - LAW).abs() < 4 * (LAW * (1 - LAW) / count).sqrt()).all()


def test_bad_tokens_are_told():
    with pytest.raises(ValueError, match=r"must lie in \[0, 5\), got 0 to 5"):
        to_bits(torch.arange(6), 5)
    with pytest.raises(ValueError, match="at least 2 to need a bit, got 1"):
        codewords(1)
