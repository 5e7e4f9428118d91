"""Completion around a toy codec of spheres, where every number is known."""

from __future__ import annotations

import math
from functools import partial as bind

import numpy as np
import pytest
import torch

from scigen.domains.points.bridge import draw_ode, draw_sde, regress
from scigen.domains.points.complete import bridged, complete, keep_observed, looking, own_frame, seen_from
from scigen.domains.points.process import Scale
from scigen.domains.points.sampler import Plan, noised_belief
from scigen.domains.shapes.frame import Frame, bounding_frame
from scigen.errors import NumericError
from scigen.io.shape import Cloud
from scigen.process.affine import rectified
from scigen.solver import ddim
from scigen.state import State, normal

TOKENS, POINTS = 32, 800
CENTER, RADIUS = np.array([40.0, -7.0, 3.0]), 2.5  # the sphere, in the units of its file


def lattice(n: int) -> np.ndarray:
    """A Fibonacci lattice: n points spread evenly over the unit sphere."""
    k = np.arange(n) + 0.5
    z, phi = 1 - 2 * k / n, math.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi), z], 1)


class Spheres:
    """Latents: 32 points of the cloud. Decoded: the sphere around them, at the size their own frame gives it."""

    def __init__(self) -> None:
        self.decoded = []

    def encode(self, cloud: Cloud) -> State:
        assert np.abs(np.linalg.norm(cloud.points, axis=1).max() - 0.5) < 1e-5, "the encoder is shown a unit frame"
        rows = np.linspace(0, len(cloud) - 1, TOKENS).astype(int)
        pos = torch.from_numpy(cloud.points[rows])[None]
        return State({"pos": pos, "feat": torch.zeros(1, TOKENS, 4)}, torch.ones(1, TOKENS, dtype=torch.bool))

    def decode(self, latents: State) -> list[Cloud]:
        self.decoded.append(latents)
        out = []
        for pos in latents["pos"].numpy().astype(np.float64):
            center = pos.mean(0)
            radius = np.linalg.norm(pos - center, axis=1).mean()
            sphere = lattice(POINTS)
            out.append(Cloud((center + radius * sphere).astype(np.float32), sphere.astype(np.float32)))
        return out


def scan(normals: bool = True) -> Cloud:
    """The upper part of the sphere."""
    sphere = lattice(3000)
    upper = sphere[sphere[:, 1] > 0.3]
    points = (CENTER + RADIUS * upper).astype(np.float32)
    return Cloud(points, upper.astype(np.float32) if normals else None)


def oracle(wobble: float = 0.0, broken: tuple[int, ...] = ()):
    """Draws the whole sphere in the frame of the partial cloud, its size off by `wobble` times a normal number."""
    frame = bounding_frame(scan().points)
    whole = torch.from_numpy(frame.enter(CENTER + RADIUS * lattice(TOKENS)))
    middle = whole.mean(0)

    def draw(seen: State, rngs) -> State:
        size = 1 + wobble * normal(torch.zeros(len(rngs), 1, 1), rngs)
        pos = middle + size * (whole - middle)
        pos[list(broken)] = torch.nan
        return seen.replace(pos=pos)

    return draw


def off(points: np.ndarray) -> np.ndarray:
    """Distance of points from the true sphere."""
    return np.abs(np.linalg.norm(points - CENTER, axis=1) - RADIUS)


def test_the_whole_comes_back_where_it_was_in_the_units_of_the_file():
    codec, partial = Spheres(), scan()
    (one,) = complete(partial, codec, oracle(), 1, seed=0).ranked
    assert np.array_equal(one.cloud.points[: len(partial)], partial.points), "observed points are kept exactly"
    assert np.array_equal(one.cloud.normals[: len(partial)], partial.normals)
    assert one.cloud.points.dtype == np.float32 and off(one.cloud.points).max() < 3e-3 * RADIUS
    assert one.cloud.points[:, 1].min() < CENTER[1] - 0.99 * RADIUS, "and what was missing is there"
    assert one.uncertainty is None and one.agreement < 0.1 * RADIUS and one.farthest >= one.agreement
    radius = np.linalg.norm(codec.decoded[0]["pos"][0].numpy(), axis=1)
    assert np.abs(radius - 0.5).max() < 0.01, "the decoder is shown a shape of its size"


def test_moving_and_scaling_the_scan_moves_and_scales_the_answer():
    partial = scan()
    moved = Cloud((0.01 * (partial.points.astype(np.float64) - CENTER)).astype(np.float32), partial.normals)
    a, b = (complete(c, Spheres(), oracle(0.1), 3, 5).ranked for c in (partial, moved))
    for one, other in zip(a, b, strict=True):
        assert one.index == other.index and len(one.cloud) == len(other.cloud)
        assert np.abs(0.01 * (one.cloud.points - CENTER) - other.cloud.points).max() < 1e-5
        assert other.agreement == pytest.approx(0.01 * one.agreement, rel=1e-2)
        assert np.allclose(other.uncertainty, 0.01 * one.uncertainty, atol=1e-6)


def test_draws_are_ranked_by_how_well_they_meet_what_was_observed():
    done = complete(scan(), Spheres(), oracle(0.15), 6, seed=1)
    added = [one.cloud.points[len(scan()) :] for one in done.ranked]
    error = [float(off(points).max()) for points in added]
    assert error == sorted(error) and error[-1] > 3 * error[0], "here the truth is known, and the order is the same"
    scores = [one.agreement for one in done.ranked]
    assert scores == sorted(scores) and sorted(one.index for one in done.ranked) == list(range(6)) and not done.failed


def test_uncertainty_is_the_distance_to_the_other_draws():
    spread = complete(scan(), Spheres(), oracle(0.05), 5, seed=2).ranked
    same = complete(scan(), Spheres(), oracle(0.0), 5, seed=2).ranked
    for one, sure in zip(spread, same, strict=True):
        n = len(scan())
        assert not one.uncertainty[:n].any() and len(one.uncertainty) == len(one.cloud)
        assert sure.uncertainty.max() < 1e-5 < one.uncertainty[n:].min()
    sizes = {
        one.index: float(np.linalg.norm(one.cloud.points[len(scan()) :] - CENTER, axis=1).mean()) for one in spread
    }
    for one in spread:  # concentric spheres: the gap of radii, or more where the lattices do not face each other
        gap = np.mean([abs(sizes[one.index] - r) for k, r in sizes.items() if k != one.index])
        assert gap - 1e-3 <= one.uncertainty[len(scan()) :].mean() < 2.5 * gap + 0.1


def test_a_draw_does_not_depend_on_how_many_there_are():
    few, many = (complete(scan(), Spheres(), oracle(0.1), n, seed=3) for n in (2, 5))
    by_index = {one.index: one for one in many.ranked}
    for one in few.ranked:
        assert np.array_equal(one.cloud.points, by_index[one.index].cloud.points)
    other = complete(scan(), Spheres(), oracle(0.1), 2, seed=4)
    assert not np.array_equal(other.ranked[0].cloud.points, few.ranked[0].cloud.points)


def test_a_broken_draw_is_named_and_the_rest_is_kept():
    done = complete(scan(), Spheres(), oracle(0.1, broken=(1,)), 3, seed=0)
    assert sorted(one.index for one in done.ranked) == [0, 2] and done.failed == {1: "non-finite pos"}
    with pytest.raises(NumericError, match="None of 2 draws is finite"):
        complete(scan(), Spheres(), oracle(broken=(0, 1)), 2, seed=0)
    with pytest.raises(ValueError, match="`n` must be at least 1"):
        complete(scan(), Spheres(), oracle(), 0, seed=0)
    with pytest.raises(ValueError, match="without extent"):
        complete(Cloud(np.ones((40, 3), np.float32)), Spheres(), oracle(), 1, seed=0)


def test_decoded_points_make_room_for_observed_ones():
    seen = Cloud(np.array([[0, 0, 0], [1, 0, 0]], np.float32))
    decoded = Cloud(np.array([[0.1, 0, 0], [1.0, 1.9, 0], [1.0, 2.1, 0], [9, 0, 0], [10, 0, 0]], np.float32))
    merged, added = keep_observed(seen, decoded)  # spacings: 1 and 0.9, so the radius is 2
    assert added.tolist() == [False, False, True, True, True] and merged.normals is None
    assert np.array_equal(merged.points, np.concatenate([seen.points, decoded.points[2:]]))
    one_sided = complete(scan(normals=False), Spheres(), oracle(), 1, seed=0).ranked[0]
    assert one_sided.cloud.normals is None, "half of the normals are no normals"


def test_what_lies_in_another_pose_is_turned_for_the_network_and_back():
    turns = torch.linalg.qr(torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(3)))[0]
    codec, partial, upright = Spheres(), scan(), oracle()
    asked = []

    def draw(seen: State, rngs) -> State:
        asked.append(seen["pos"])
        pos = upright(seen, rngs)["pos"]
        return seen.replace(pos=torch.stack([x @ turns[k % 2] for k, x in enumerate(pos)]))

    done = complete(partial, codec, draw, 3, 0, poses=lambda seen: turns)
    straight = complete(partial, codec, upright, 1, 0).ranked[0]
    lying = codec.encode(Cloud(bounding_frame(partial.points).enter(partial.points)))["pos"][0]
    assert all(torch.allclose(asked[0][k], lying @ turns[k % 2], atol=1e-5) for k in range(3))
    for one in done.ranked:
        assert np.array_equal(one.cloud.points[: len(partial)], partial.points)
        assert off(one.cloud.points).max() < 3e-3 * RADIUS
        assert one.agreement == pytest.approx(straight.agreement, rel=0.05)
        outward = (one.cloud.points - CENTER) / RADIUS
        assert np.abs(outward - one.cloud.normals).max() < 0.01, "normals turn as well"
        back = one.frame.leave(one.latents["pos"][0].numpy() @ one.turn)
        assert off(back).max() < 3e-3 * RADIUS and np.allclose(one.turn, turns[one.index % 2].numpy().T)


def test_latents_move_between_frames():
    pos = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    x = State({"pos": pos * mask[..., None], "feat": torch.ones(2, 5, 4)}, mask)
    a = [Frame(np.array([1.0, 2, 3]), 4.0), Frame(np.array([0.0, 1, 0]), 0.5)]
    b = [Frame(np.array([5.0, 0, -3]), 2.0), Frame(np.array([1.0, 1, 1]), 3.0)]
    there = seen_from(x, a, b)
    by_hand = (4 * pos[0] + torch.tensor([-4.0, 2, 6])) / 2
    assert (there["pos"][0] - by_hand).abs().max() < 1e-5
    assert not there["pos"][~mask].any() and torch.equal(there["feat"], x["feat"])
    assert (seen_from(there, b, a)["pos"] - x["pos"]).abs().max() < 1e-5
    sphere = State({"pos": torch.from_numpy(3 * lattice(TOKENS))[None]}, torch.ones(1, TOKENS, dtype=torch.bool))
    assert own_frame(sphere).scale == pytest.approx(6, rel=0.02)


def test_bridges_and_conditional_diffusion_draw_in_stored_units():
    """A network that knows the whole sphere: whatever the method, whatever the scale, completion finds it."""
    seen = Spheres().encode(Cloud(bounding_frame(scan().points).enter(scan().points)))
    whole = oracle()(seen, [torch.Generator()])["pos"]
    scale, spread = Scale(0.25, 2.0), Scale(0.7, 1.0)

    def bridge_network(x, logsnr, previous=None):
        return {"pos": (whole / scale.pos - x["start"][..., :3]) / spread.pos, "feat": 0 * x["feat"]}

    class Direct(torch.nn.Module):
        def forward(self, x, logsnr, previous=None):
            assert x["given"].shape[-1] == 7 and x["given_mask"].all()
            return {"pos": (whole / scale.pos).expand_as(x["pos"]), "feat": 0 * x["feat"]}

    draws = [bridged(bind(f, bridge_network, spread), scale) for f in (draw_sde, draw_ode)]
    draws.append(bridged(lambda x1, rng: regress(bridge_network, spread, x1), scale))
    draws.append(looking(bind(noised_belief, Direct(), Plan(rectified(), ddim(), 3)), scale))
    for draw in draws:
        for one in complete(scan(), Spheres(), draw, 2, seed=0).ranked:
            assert off(one.cloud.points).max() < 3e-3 * RADIUS
