"""Sampling: one sample is the same alone or in company, sizes follow the histogram, broken numbers are named."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from scigen.domains.molecules.codec import TOKENS, encode
from scigen.domains.molecules.data import load_fixture
from scigen.domains.molecules.process import blank, molecule_process
from scigen.domains.molecules.sampler import NARROWEST, Drawn, Plan, draw_molecules, sizes_for
from scigen.process.affine import rectified, subvp, ve, vp
from scigen.solver import ancestral, ddim, dpmpp_2m
from scigen.state import Streams, generator
from tests.domains.molecules.small import untrained

SIZES = {5: 1, 9: 2, 12: 1, 17: 1}
PLAN = Plan(rectified(), ancestral, steps=8)


@pytest.fixture(scope="module")
def network():
    return untrained()


@pytest.fixture
def single(monkeypatch):
    """Single precision throughout: what a sample is does not hang on the rounding of half precision."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def draw(network, indices, seed=7, sizes=SIZES, plan=PLAN, batch=32) -> dict[int, Drawn]:
    return {d.index: d for group in draw_molecules(network, plan, indices, seed, sizes, batch) for d in group}


def same(a: Drawn, b: Drawn, tolerance: float = 1e-4) -> None:
    for name in ("z", "charge", "bond"):
        assert np.array_equal(getattr(a.molecule, name), getattr(b.molecule, name))
    assert np.abs(a.molecule.pos - b.molecule.pos).max() < tolerance


@pytest.mark.parametrize("solver", [ancestral, ddim(), ddim(0.5), dpmpp_2m], ids=["ancestral", "ddim", "eta", "dpm"])
def test_a_sample_is_itself_in_any_company(network, single, solver):
    plan = Plan(rectified(), solver, steps=8)
    together = draw(network, list(range(12)), plan=plan)
    assert len({len(d.molecule.z) for d in together.values()}) > 2, "the batch mixes sizes"
    for k in (0, 3, 11):
        same(draw(network, [k], plan=plan)[k], together[k])
    few = draw(network, [11, 2, 7], plan=plan, batch=2)  # other neighbours, other order, other batches
    for k, d in few.items():
        same(d, together[k])


def test_half_precision_does_not_break_that(network):
    together = draw(network, list(range(12)))
    for few in ([0], [11, 2, 7], [3, 4, 5, 6]):
        for k, d in draw(network, few, batch=3).items():
            same(d, together[k])


class Spy(torch.nn.Module):
    """Notes the shape of the arrays that molecules of each size are computed in."""

    def __init__(self, network) -> None:
        super().__init__()
        self.network, self.widths, self.rows = network, {}, set()

    def forward(self, x, logsnr, previous=None):
        self.rows.add(x.mask.numel())
        for size in x.sizes.tolist():
            self.widths.setdefault(size, set()).add(x.mask.shape[1])
        return self.network(x, logsnr, previous)


def test_the_width_of_the_arrays_is_the_samples_own(network):
    """Rounding goes by shape: padded by neighbours, a third of a trained network's samples moved, a few into others."""
    spy = Spy(network)
    for sizes in ([5], [5, 17], [17, 16, 15, 9], [15, 5, 18], [29, 16]):
        draw(spy, list(range(len(sizes))), sizes=sizes, plan=Plan(rectified(), ancestral, steps=2))
    for size, widths in spy.widths.items():
        assert len(widths) == 1 and size <= min(widths) <= max(1.2 * size, NARROWEST)
    assert min(spy.rows) >= 104, "small batches take other paths through a matrix product"


def test_the_same_call_gives_the_same_bits(network):
    one, two = draw(network, list(range(6))), draw(network, list(range(6)))
    assert all(np.array_equal(one[k].molecule.pos, two[k].molecule.pos) for k in one)


def test_seeds_and_indices_give_different_samples(network):
    one, other = draw(network, [0, 1], sizes=[9, 9]), draw(network, [0], seed=8, sizes=[9])
    assert not np.allclose(one[0].molecule.pos, one[1].molecule.pos)
    assert not np.allclose(one[0].molecule.pos, other[0].molecule.pos)


def test_the_global_generator_is_neither_read_nor_moved(network):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = draw(network, [4])[4]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    same(one, draw(network, [4])[4], 1e-9)


def test_generators_are_pinned():
    """What a seed means must not change between versions."""
    assert generator(7, 37).initial_seed() == 5152527261265043724
    seeds = {generator(s, i).initial_seed() for s in range(30) for i in range(30)}
    assert len(seeds) == 900


def test_every_index_comes_back_once_with_its_own_size(network):
    sizes = [9, 4, 7, 9, 5, 12, 4]
    drawn = [d for group in draw_molecules(network, PLAN, [10, 11, 12, 13, 14, 15, 16], 0, sizes, 3) for d in group]
    assert sorted(d.index for d in drawn) == list(range(10, 17))
    assert {d.index: len(d.molecule.z) for d in drawn} == dict(zip(range(10, 17), sizes))


def test_sizes_follow_the_histogram():
    histogram = {9: 10, 17: 60, 18: 0, 29: 30}
    n = 4000
    sizes = np.array(sizes_for([generator(1, i) for i in range(n)], histogram))
    assert set(sizes) == {9, 17, 29}, "a size that was never seen is never drawn"
    for size, count in histogram.items():
        share = count / 100
        assert abs((sizes == size).mean() - share) < 4 * (share * (1 - share) / n) ** 0.5 + 1e-9


def test_a_size_depends_on_its_own_sample_alone():
    alone = sizes_for([generator(3, 5)], SIZES)
    assert alone[0] == sizes_for([generator(3, i) for i in range(9)], SIZES)[5]


class Broken(torch.nn.Module):
    """A network whose coordinates are not numbers for molecules of one size."""

    def __init__(self, network, size: int, value: float) -> None:
        super().__init__()
        self.network, self.size, self.value = network, size, value

    def forward(self, x, logsnr, previous=None):
        out = self.network(x, logsnr, previous)
        bad = (x.sizes == self.size)[:, None, None]
        return {**out, "pos": torch.where(bad, torch.full_like(out["pos"], self.value), out["pos"])}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_samples_are_named_and_the_others_kept(network, value):
    drawn = draw(Broken(network, 9, value), list(range(4)), sizes=[9, 7, 9, 5])
    for k in (0, 2):
        assert drawn[k].molecule is None
        assert drawn[k].reason.startswith("non-finite coordinates")
    for k in (1, 3):
        assert drawn[k].reason is None and np.isfinite(drawn[k].molecule.pos).all()


@pytest.mark.parametrize("affine", [rectified(), vp(), ve(), subvp()], ids=["flow", "vp", "ve", "subvp"])
def test_every_process_serves(network, affine):
    drawn = draw(network, [0, 1], sizes=[9, 6], plan=Plan(affine, ancestral, steps=8))
    assert all(np.isfinite(d.molecule.pos).all() for d in drawn.values())


def test_the_source_and_every_state_obey_the_constraints():
    x0 = encode([load_fixture()[k] for k in (0, 40, 200)])
    sizes = x0.sizes.tolist()
    rng = Streams([generator(0, k) for k in range(3)], sizes)
    process = molecule_process(rectified())
    x1 = process.source(blank(sizes), rng)
    belief = {
        "pos": x0["pos"],
        "atom": torch.nn.functional.one_hot(x0["atom"], len(TOKENS)).float(),
        "bond": torch.nn.functional.one_hot(x0["bond"], 4).float(),
    }
    half = process.noise(x0, x1, 0.5, rng)
    for x in (x1, half, process.step(half, belief, 0.5, 0.2, rng)):
        assert x["pos"].sum(1).abs().max() < 1e-4 and not x["pos"][~x.mask].any()
        assert torch.equal(x["bond"], x["bond"].transpose(1, 2)) and not x["bond"].diagonal(dim1=1, dim2=2).any()
        assert not x["atom"][~x.mask].any() and not x["bond"][~(x.mask[:, :, None] & x.mask[:, None])].any()
    end = process.step(half, belief, 0.5, 0.0, rng)
    assert torch.equal(end["atom"], x0["atom"]) and torch.equal(end["bond"], x0["bond"])
    assert torch.allclose(end["pos"], x0["pos"], atol=1e-5)


def test_tokens_follow_the_coordinates_clock():
    """Under flow a token keeps its value with probability 1 - t, plus chance hits of the uniform redraw."""
    process, n = molecule_process(rectified()), 200_000
    tokens = torch.zeros(1, n, dtype=torch.long)
    rng = torch.Generator().manual_seed(0)
    part = process.parts["atom"]
    kept = (part.noise(tokens, part.source(tokens, rng), 0.3, rng) == 0).float().mean()
    assert float(kept) == pytest.approx(0.7 + 0.3 / 9, abs=4e-3)
