"""Mirror images and retrieval against answers known beforehand."""

from __future__ import annotations

import numpy as np
import torch

from scigen.domains.points.baselines import flat, mirrored, nearest_scans, recalled
from scigen.domains.points.process import Scale, joined
from scigen.io.shape import Cloud
from scigen.state import State

M, K, F = 5000, 8, 4  # more pairs than are compared at once


def tokens(count: int, seed: int) -> State:
    rng = torch.Generator().manual_seed(seed)
    pos, feat = (torch.randn(count, K, d, generator=rng) for d in (3, F))
    return State({"pos": pos, "feat": feat}, torch.ones(count, K, dtype=torch.bool))


def known_pairs() -> State:
    scans = tokens(M, 0)
    return tokens(M, 1).replace(given=joined(scans), given_mask=scans.mask)


def test_a_mirror_image_is_a_reflection_and_its_own_inverse() -> None:
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3)).astype(np.float32)
    cloud = Cloud(rng.normal(size=(50, 3)).astype(np.float32), normals)
    both = mirrored(cloud, 0.3)
    assert np.array_equal(both.points[:50], cloud.points) and np.array_equal(both.normals[:50], normals)
    middle = (both.points[:50] + both.points[50:]) / 2
    np.testing.assert_allclose(middle[:, 0], 0.3, atol=1e-6)
    np.testing.assert_array_equal(middle[:, 1:], cloud.points[:, 1:])
    again = mirrored(Cloud(both.points[50:], both.normals[50:]), 0.3)
    np.testing.assert_allclose(again.points[50:], cloud.points, atol=1e-6)
    np.testing.assert_array_equal(again.normals[50:], normals)
    assert mirrored(Cloud(cloud.points)).normals is None and both.points.dtype == np.float32


def test_a_scan_that_was_seen_in_training_brings_its_whole_back() -> None:
    """In any order of its tokens, a little off, in stored units, whichever block it lies in."""
    pairs, scale, rng = known_pairs(), Scale(0.3, 2.0), torch.Generator().manual_seed(3)
    stored = scale.leave(pairs)
    draw = recalled(stored, scale)
    for row in (0, 2047, 2048, M - 1):
        order = torch.randperm(K, generator=rng)
        pos, feat = stored["given"][row, order].split([3, F], -1)
        noise = 0.01 * torch.randn(K, 3, generator=rng)
        seen = State({"pos": (pos + noise)[None], "feat": feat[None]}, torch.ones(1, K, dtype=torch.bool))
        seen = seen.map(lambda v: v.expand(3, *v.shape[1:]))
        out = draw(seen, [torch.Generator()] * 3)
        assert torch.equal(out["pos"][0], stored["pos"][row]) and torch.equal(out["feat"][0], stored["feat"][row])
        assert not torch.equal(out["pos"][1], out["pos"][0])


def test_the_order_is_that_of_brute_force() -> None:
    known, query = tokens(300, 0), tokens(1, 9)

    def apart(k: int) -> float:
        d = torch.zeros(K, K, dtype=torch.float64)
        for name in ("pos", "feat"):
            d += (query[name][0, :, None] - known[name][k, None]).double().square().mean(-1)
        return float(d.min(0).values.mean() + d.min(1).values.mean())

    wanted = sorted(range(300), key=apart)
    assert nearest_scans(flat(query)[0], flat(known), 20).tolist() == wanted[:20]
    assert nearest_scans(flat(query)[0], flat(known), 1000).tolist() == wanted


def test_more_draws_than_pairs_repeat() -> None:
    pairs = known_pairs().map(lambda v: v[:2])
    out = recalled(pairs, Scale(1.0))(tokens(1, 5).map(lambda v: v.expand(5, *v.shape[1:])), [torch.Generator()] * 5)
    assert len(out.mask) == 5 and torch.equal(out["pos"][0], out["pos"][2])
