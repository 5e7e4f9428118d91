"""Poses found by remembered scans: rotations that are spread evenly, exact answers, and what turns with the scan."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.domains.points.memory import Memory
from scigen.domains.points.pose import poses, rotations

M, K = 40, 12


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def memory(scans: torch.Tensor) -> Memory:
    return Memory(scans, 1.2 * scans, torch.zeros(len(scans), scans.shape[1], 4))


def shapes(seed: int = 0) -> torch.Tensor:
    """Sets of points of every size, each with axes of its own."""
    g = rng(seed)
    return torch.randn(M, K, 3, generator=g) * (0.3 + torch.rand(M, 1, 3, generator=g))


def degrees(a: torch.Tensor, b: torch.Tensor) -> float:
    cosine = (float((a.mT @ b).trace()) - 1) / 2
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def test_rotations_are_rotations_and_leave_no_gap() -> None:
    ways = rotations(3000)
    assert torch.allclose(ways @ ways.mT, torch.eye(3).expand_as(ways), atol=1e-5)
    assert torch.allclose(torch.det(ways), torch.ones(3000), atol=1e-5)
    q = torch.linalg.qr(torch.randn(300, 3, 3, generator=rng()))[0]
    q = q * torch.det(q)[:, None, None]  # a reflection through the origin more or less
    trace = (q[:, None] * ways).sum((-1, -2))
    off = torch.rad2deg(torch.acos(((trace.amax(1) - 1) / 2).clamp(-1, 1)))
    assert off.max() < 15
    assert abs(float(ways.mean(0).abs().max())) < 0.01, "no direction is preferred"


@pytest.mark.parametrize("row", [0, 7, 31])
def test_a_turned_scan_is_turned_back(row: int) -> None:
    known = memory(shapes())
    turn = rotations(500)[13 * row + 5]
    found = poses(known, known.scan[row][torch.randperm(K, generator=rng(row))] @ turn, 4)
    assert degrees(found[0], turn.mT) < 0.1
    assert all(degrees(a, b) >= 20 for k, a in enumerate(found) for b in found[:k])


def test_what_is_found_turns_with_the_scan() -> None:
    known = memory(shapes())
    scan = known.scan[3] + 0.1 * torch.randn(K, 3, generator=rng(5))
    stands = scan @ poses(known, scan, 1)[0]
    for turn in rotations(7):
        assert torch.allclose(scan @ turn @ poses(known, scan @ turn, 1)[0], stands, atol=1e-3)


def test_what_looks_alike_from_two_sides_has_two_poses() -> None:
    half = shapes(2)[:, : K // 2]
    known = memory(torch.cat([half, half * torch.tensor([-1.0, 1, -1])], 1))
    found = poses(known, known.scan[4], 2)
    around = torch.diag(torch.tensor([-1.0, 1, -1]))
    off = [sorted(degrees(r, way) for way in (torch.eye(3), around)) for r in found]
    assert all(near < 0.1 for near, _ in off) and degrees(*found) > 179


def test_there_may_be_fewer_than_are_asked_for() -> None:
    known = memory(shapes()[:1])
    assert 1 <= len(poses(known, known.scan[0], 1000)) < 512
