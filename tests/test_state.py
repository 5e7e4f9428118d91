"""State: masks, projections, and draws that never depend on the batch."""

from __future__ import annotations

import pytest
import torch

from scigen.state import State, Streams, as_time, center, expand, mirror, normal, pair_mask, uniform

MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])


def test_state_is_replaced_not_changed():
    x = State({"pos": torch.zeros(2, 4, 3), "atom": torch.zeros(2, 4)}, MASK)
    y = x.replace(atom=torch.ones(2, 4))
    assert x["atom"].sum() == 0 and y["atom"].sum() == 8 and y["pos"] is x["pos"]
    assert "pos" in x and "bond" not in x
    assert x.sizes.tolist() == [3, 1]
    assert x.map(lambda v: v[:1])["pos"].shape == (1, 4, 3) and x.map(lambda v: v[:1]).mask.shape == (1, 4)


def test_center_projects(rng):
    pos = torch.randn(2, 4, 3, generator=rng, dtype=torch.float64)
    once = center(pos, MASK)
    assert (once * MASK[..., None]).sum(1).abs().max() < 1e-15
    assert not once[~MASK].any()
    assert (center(once, MASK) - once).abs().max() < 1e-15
    assert (center(pos + 5.0, MASK) - once).abs().max() < 1e-14
    turn = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=torch.float64))[0]
    assert (center(pos @ turn, MASK) - once @ turn).abs().max() < 1e-14
    assert not center(pos, torch.zeros_like(MASK)).any()  # an empty sample is zeros, not NaN


def test_mirror_copies_the_upper_triangle(rng):
    for x in (torch.randint(9, (2, 5, 5), generator=rng), torch.randn(2, 5, 5, 3, generator=rng)):
        y = mirror(x)
        assert torch.equal(y, y.transpose(1, 2))
        assert not y.diagonal(dim1=1, dim2=2).any()
        upper = torch.triu_indices(5, 5, 1)
        assert torch.equal(y[:, upper[0], upper[1]], x[:, upper[0], upper[1]])
        assert y.dtype == x.dtype


def test_pair_mask():
    assert pair_mask(MASK)[0].int().tolist() == [[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert not pair_mask(MASK)[1].any()


@pytest.mark.parametrize("law", [normal, lambda like, rng: uniform(like.shape, like.device, rng)])
def test_a_row_depends_on_its_generator_alone(law):
    def rngs(seeds):
        return [torch.Generator().manual_seed(s) for s in seeds]

    whole = law(torch.zeros(3, 4, 2), rngs([7, 8, 9]))
    assert torch.equal(law(torch.zeros(1, 4, 2), rngs([8]))[0], whole[1])
    assert torch.equal(law(torch.zeros(2, 4, 2), rngs([9, 7])), whole[[2, 0]])
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        law(torch.zeros(3, 4, 2), rngs([1, 2]))


def test_a_row_does_not_depend_on_its_padding():
    """`Streams` draw each sample at its own size: nodes and pairs alike, zeros beyond."""

    def streams(sizes):
        return Streams([torch.Generator().manual_seed(s) for s in (7, 8)], sizes)

    narrow, wide = normal(torch.zeros(2, 4, 3), streams([4, 2])), normal(torch.zeros(2, 9, 3), streams([4, 2]))
    assert torch.equal(narrow, wide[:, :4]) and not wide[0, 4:].any() and not wide[1, 2:].any()
    assert wide[1, :2].all()
    for n in (4, 9):
        pairs = uniform(torch.Size([2, n, n]), torch.device("cpu"), streams([4, 2]))
        alone = uniform(torch.Size([1, 2, 2]), torch.device("cpu"), [torch.Generator().manual_seed(8)])
        assert torch.equal(pairs[1, :2, :2], alone[0]) and not pairs[1, 2:].any() and not pairs[1, :, 2:].any()
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        normal(torch.zeros(3, 4, 2), streams([4, 2]))


def test_draws_leave_the_global_state_alone(rng):
    before = torch.get_rng_state()
    normal(torch.zeros(3, 2), rng)
    uniform(torch.Size([3]), torch.device("cpu"), [rng] * 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert normal(torch.zeros(3, 2, dtype=torch.float64), rng).dtype == torch.float64


def test_times():
    x = torch.zeros(2, 3, 3)
    assert expand(0.5, x).shape == () and expand(torch.tensor([0.1, 0.2]).double(), x).shape == (2, 1, 1)
    assert expand(torch.tensor([0.1, 0.2]).double(), x).dtype == torch.float32
    assert expand(0.5, torch.zeros(2, dtype=torch.long)).dtype == torch.float32
    assert as_time(0.1).dtype == torch.float64 and as_time(torch.tensor(0.1)).dtype == torch.float32
