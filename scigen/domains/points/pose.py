"""The pose of a scan that may lie in any: turned every way, it is looked for among the scans that a bridge remembers.

Farthest points turn with the cloud, so the latent points of one encoding serve all rotations. Thousands of these are
compared with thousands of remembered scans by their densities as plane waves, in one product of matrices; the best
pairs are fitted by closest points (Besl and McKay 1992, doi:10.1109/34.121791), both ways, each step the rotation of
least squares (Kabsch 1976, doi:10.1107/S0567739476001873), and ranked as `memory.recall` ranks them. What comes out
turns with the scan: completion in the pose that is found commutes with rotations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scigen.domains.points.memory import Memory, apart, waves

__all__ = ["poses", "rotations"]

_WAYS = 3000  # rotations tried: none is further than 15 degrees from one of them
_PAIRS = 512  # of rotation and remembered scan that are compared point by point
_FITTED = 64
_STEPS = 20
_DISTINCT = 20.0  # degrees between two answers


def rotations(count: int) -> Tensor:
    """`count` rotations spread evenly, `[count, 3, 3]`, by super-Fibonacci spirals.

    Alexa 2022, doi:10.1109/CVPR52688.2022.00811.
    """
    psi = 1.533751168755204288118041  # psi^4 = psi + 4
    i = torch.arange(count, dtype=torch.float64) + 0.5
    low, high = (i / count).sqrt(), (1 - i / count).sqrt()
    a, b = 2 * math.pi * i / math.sqrt(2), 2 * math.pi * i / psi
    x, y, z, w = low * a.sin(), low * a.cos(), high * b.sin(), high * b.cos()
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)]
    rows += [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)]
    rows += [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]
    return torch.stack(rows, -1).unflatten(-1, (3, 3)).float()


def poses(memory: Memory, scan: Tensor, count: int) -> Tensor:
    """At most `count` rotations R `[H, 3, 3]`, best first, with which `scan @ R` stands like a remembered one.

    `scan [K, 3]` are positions of latent points in units of variance one, about the centre of their frame. Answers
    differ by 20 degrees or more: what looks alike from two sides has two.
    """
    scan = scan.float().cpu()
    ways = rotations(_WAYS)
    like = torch.cdist(waves(scan @ ways), waves(memory.scan))
    best = like.flatten().topk(min(_PAIRS, like.numel()), largest=False).indices
    turn, known = ways[best // len(memory)], best % len(memory)
    off = apart(scan @ turn, memory.scan[known], memory.pos[known])
    near = off.topk(min(_FITTED, len(off)), largest=False).indices
    turn, known = _fitted(scan, memory.scan[known[near]], turn[near]), known[near]
    order = apart(scan @ turn, memory.scan[known], memory.pos[known]).argsort()
    return _distinct(turn[order], count)


def _fitted(scan: Tensor, known: Tensor, turn: Tensor) -> Tensor:
    """Rotations `[M, 3, 3]` that bring `scan [K, 3]` closest to each of `known [M, N, 3]`, from those given."""
    for _ in range(_STEPS):
        between = torch.cdist(scan @ turn, known)  # [M, K, N]
        there = known.gather(1, between.argmin(2)[..., None].expand(-1, -1, 3))
        here = scan[between.argmin(1)]
        cross = scan.mT @ there + here.mT @ known
        u, _, vh = torch.linalg.svd(cross)
        sign = torch.ones(len(turn), 3)
        sign[:, 2] = torch.det(u @ vh)  # a rotation, no reflection
        turn = (u * sign[:, None]) @ vh
    return turn


def _distinct(turns: Tensor, count: int) -> Tensor:
    """The first `count` rotations that are `_DISTINCT` degrees from every one before them."""
    chosen: list[Tensor] = []
    least = 1 + 2 * math.cos(math.radians(_DISTINCT))  # the trace of a rotation tells its angle
    for turn in turns:
        if all(float((turn.mT @ other).trace()) < least for other in chosen):
            chosen.append(turn)
        if len(chosen) == count:
            break
    return torch.stack(chosen)
