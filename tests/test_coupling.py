"""Couplings: optimal transport against brute force, its symmetries, padding and speed; entropic and given pairs."""

from __future__ import annotations

import itertools
import time

import pytest
import torch
from scipy.spatial.transform import Rotation

from scigen.coupling import (
    batch_transport,
    from_model,
    independent,
    optimal_transport,
    paired,
    sinkhorn,
    sinkhorn_plan,
)
from scigen.state import State, center

COUPLE = optimal_transport()


def batch(rng, sizes=(4, 3, 1), n=4):
    mask = torch.arange(n)[None] < torch.tensor(sizes)[:, None]
    draw = [center(torch.randn(len(sizes), n, 3, generator=rng, dtype=torch.float64), mask) for _ in range(2)]
    atoms = torch.arange(n).expand(len(sizes), n)
    return State({"pos": draw[0], "atom": atoms}, mask), State({"pos": draw[1], "atom": atoms}, mask)


def cost(x0, x1):
    return (x0["pos"] - x1["pos"]).square().sum((1, 2))


def test_independent_changes_nothing(rng):
    x0, x1 = batch(rng)
    assert independent(x0, x1) is x1


def test_permutation_then_rotation_by_brute_force(rng):
    """Every permutation tried, then SciPy's own best rotation of the winner."""
    x0, x1 = batch(rng)
    out = COUPLE(x0, x1)
    for i, n in enumerate((4, 3)):
        data, noise = x0["pos"][i, :n], x1["pos"][i, :n]
        best = min(itertools.permutations(range(n)), key=lambda p: float((data - noise[list(p)]).square().sum()))
        rotation, _ = Rotation.align_vectors(data.numpy(), noise[list(best)].numpy())
        turned = torch.from_numpy(rotation.apply(noise[list(best)].numpy()))
        assert abs(float((out["pos"][i, :n] - data).square().sum() - (turned - data).square().sum())) < 1e-12
    assert (cost(x0, out) <= cost(x0, x1) + 1e-12).all()


def test_points_are_only_moved_about(rng):
    x0, x1 = batch(rng)
    out = COUPLE(x0, x1)
    for i, n in enumerate((4, 3, 1)):
        gram = [torch.linalg.eigvalsh(y["pos"][i] @ y["pos"][i].T) for y in (out, x1)]
        assert (gram[0] - gram[1]).abs().max() < 1e-12
        assert not out["pos"][i, n:].any()
    assert out["atom"] is x1["atom"] and out.mask is x1.mask
    assert out["pos"].dtype == x1["pos"].dtype
    single = State({"pos": x1["pos"].float()}, x1.mask)
    assert COUPLE(State({"pos": x0["pos"].float()}, x0.mask), single)["pos"].dtype == torch.float32


def test_never_a_reflection(rng):
    """A nearly flat set and its mirror image: the order stays, and only a reflection could bring the cost to zero."""
    x0, _ = batch(rng, sizes=(4,))
    flat = x0.replace(pos=x0["pos"] * torch.tensor([1.0, 1.0, 0.1]))
    flipped = flat.replace(pos=flat["pos"] * torch.tensor([1.0, 1.0, -1.0]))
    out = COUPLE(flat, flipped)
    handedness = [torch.linalg.det(x["pos"][0, 1:] - x["pos"][0, 0]) for x in (flipped, out, flat)]
    assert handedness[0] * handedness[1] > 0 > handedness[1] * handedness[2]
    assert cost(flat, out)[0] > 1e-4
    assert cost(x0, COUPLE(x0, x0)).max() < 1e-24


def test_equivariance(rng):
    """Data turned and reordered: the noise follows when the permutation found is the same, and the cost never rises."""
    x0, x1 = batch(rng)
    out = COUPLE(x0, x1)
    order = torch.tensor([2, 0, 1, 3])
    moved = State({"pos": x0["pos"][:2, order]}, x0.mask[:2, order])
    sorted_first = State({"pos": moved["pos"][:1]}, moved.mask[:1])
    again = COUPLE(sorted_first, State({"pos": x1["pos"][:1]}, x1.mask[:1]))
    assert (again["pos"][0] - out["pos"][0][order]).abs().max() < 1e-12
    turn = torch.from_numpy(Rotation.from_euler("xyz", [0.01, -0.02, 0.015]).as_matrix())
    turned = COUPLE(x0.replace(pos=x0["pos"] @ turn), x1)
    assert (turned["pos"] - out["pos"] @ turn).abs().max() < 1e-12


def test_it_is_worth_its_time(rng):
    """Molecule-sized: the cost of the noise falls several-fold, in about 0.02 ms a molecule (0.5 allowed here)."""
    mask = torch.ones(128, 18, dtype=torch.bool)
    x0, x1 = (State({"pos": center(torch.randn(128, 18, 3, generator=rng), mask)}, mask) for _ in range(2))
    start = time.process_time()
    out = COUPLE(x0, x1)
    assert (time.process_time() - start) / 128 < 5e-4
    assert cost(x0, out).mean() < 0.3 * cost(x0, x1).mean()


def test_transport_without_rotation_only_permutes(rng):
    """Aligned shapes: every permutation tried."""
    x0, x1 = batch(rng)
    out = optimal_transport(rotate=False)(x0, x1)
    for i, n in enumerate((4, 3)):
        data, noise = x0["pos"][i, :n], x1["pos"][i, :n]
        best = min(itertools.permutations(range(n)), key=lambda p: float((data - noise[list(p)]).square().sum()))
        assert torch.equal(out["pos"][i, :n], noise[list(best)])


def test_batch_transport_by_brute_force(rng):
    """Whole samples change hands: the cheapest of all 120 orders; on tensors of any shape."""
    x0, x1 = (torch.randn(5, 3, 2, generator=rng, dtype=torch.float64) for _ in range(2))
    out = batch_transport()(x0, x1)
    best = min(itertools.permutations(range(5)), key=lambda p: float((x0 - x1[list(p)]).square().sum()))
    assert torch.equal(out, x1[list(best)])


def test_batch_transport_deals_within_one_mask(rng):
    x0, x1 = batch(rng, sizes=(4, 3, 4, 3, 4))
    x1 = x1.replace(atom=x1["atom"] + 10 * torch.arange(5)[:, None])
    out = batch_transport()(x0, x1)
    dealt = out["atom"][:, 0] // 10
    assert sorted(dealt.tolist()) == [0, 1, 2, 3, 4] and torch.equal(out.mask, x0.mask)
    assert {int(dealt[i]) for i in (0, 2, 4)} == {0, 2, 4}
    assert torch.equal(out["pos"], x1["pos"][dealt])
    assert cost(x0, out).sum() <= cost(x0, x1).sum()


def test_batch_transport_on_a_line_sorts(rng):
    """The optimal map in one dimension is the monotone one."""
    x0, x1 = torch.randn(64, 1, generator=rng), 2 * torch.randn(64, 1, generator=rng)
    out = batch_transport()(x0, x1)
    assert torch.equal(out[x0[:, 0].argsort()], x1.sort(0).values)


def test_sinkhorn_pairs_are_drawn_from_the_bridge(rng):
    """Cross-covariance of the Schroedinger bridge (0.456), neither that of transport (0.707) nor 0."""
    crosses = []
    for _ in range(8):
        x0, x1 = torch.randn(500, 1, generator=rng), 0.5**0.5 * torch.randn(500, 1, generator=rng)
        crosses.append(float((x0 * sinkhorn(0.8, rng)(x0, x1)).mean()))
    assert abs(sum(crosses) / 8 - 0.456) < 0.06


def test_sinkhorn_on_states_respects_masks(rng):
    x0, x1 = batch(rng, sizes=(4, 3, 4, 3, 4))
    out = sinkhorn(0.5, rng)(x0, x1)
    assert torch.equal(out.mask, x0.mask)
    again = [sinkhorn(0.5, torch.Generator().manual_seed(1))(x0, x1)["pos"] for _ in range(2)]
    assert torch.equal(*again)


def test_the_plan_has_its_marginals_and_minimises(rng):
    """Marginals, scaling structure, and the two limits of `reg`; weights that are not uniform, and empty bins."""
    x, y = torch.randn(6, 2, generator=rng, dtype=torch.float64), torch.randn(5, 2, generator=rng, dtype=torch.float64)
    cost2, a = torch.cdist(x, y) ** 2, torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25, 0.0], dtype=torch.float64)
    plan = sinkhorn_plan(cost2, 0.5, a, tolerance=1e-13)
    assert (plan.sum(1) - a).abs().max() < 1e-12 and (plan.sum(0) - 0.2).abs().max() < 1e-12
    scaled = plan[:5].log() + cost2[:5] / 0.5  # f_i + g_j: every 2 by 2 minor vanishes
    assert (scaled[:1] + scaled[1:, :1] - scaled[0, 0] - scaled[1:]).abs().max() < 1e-11
    assert (sinkhorn_plan(cost2, 1e6) - 1 / 30).abs().max() < 1e-5
    square = torch.cdist(x, x.flip(0)) ** 2
    assert (sinkhorn_plan(square, 1e-3) - torch.eye(6, dtype=torch.float64).flip(0) / 6).abs().max() < 1e-9


def test_pairs_of_the_data_and_of_a_model(rng):
    x0, x1 = batch(rng)
    given = State({**x0.fields, "start": x0["pos"] + 1}, x0.mask)
    out = paired()(given, x1)
    assert torch.equal(out["pos"], given["start"]) and out["atom"] is x1["atom"]
    assert torch.equal(from_model(lambda x: 2 * x)(x0["pos"], None), 2 * x0["pos"])


def test_couplings_refuse(rng):
    x0, x1 = batch(rng)
    with pytest.raises(ValueError, match="no start points `start`"):
        paired()(x0, x1)
    with pytest.raises(ValueError, match="shaped like"):
        paired(start="atom")(x0, x1)
    with pytest.raises(ValueError, match="batch_transport"):
        sinkhorn(0.0, rng)
    with pytest.raises(ValueError, match="`reg` must be positive"):
        sinkhorn_plan(torch.zeros(2, 2), -1.0)
    with pytest.raises(ValueError, match="after 3 iterations"):
        sinkhorn_plan(torch.randn(9, 9, generator=rng) ** 2, 1e-3, iterations=3)
