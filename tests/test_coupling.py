"""Couplings: optimal transport against brute force, its symmetries, padding, and speed."""

from __future__ import annotations

import itertools
import time

import torch
from scipy.spatial.transform import Rotation

from scigen.coupling import independent, optimal_transport
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
