"""Where a mesh goes through itself: pairs of triangles that cross, and pairs that lie on each other in one plane.

Two triangles cross when an edge of one has its ends strictly on both sides of the other's plane and meets it inside or
on its border; in one plane they overlap unless some edge has all of one triangle on one side and all of the other on
the other side (separating axes). Signs of volumes are taken for 0 below the rounding of float64, so neighbours that
share a corner or an edge do not count unless they fold onto or run through each other. What only touches (a corner on a
face) is no crossing, nor what lies within 1e-13 of touching.
"""

from __future__ import annotations

import numpy as np

from scigen.metrics.box_tree import overlapping_pairs

__all__ = ["crossing_pairs", "self_intersections"]

_ROUNDING = 1e-13  # of a volume beside the product of its three lengths
_EDGES = np.array([[0, 1], [1, 2], [2, 0]])


def self_intersections(triangles: np.ndarray) -> np.ndarray:
    """Pairs `[P, 2]` of the `triangles [F, 3, 3]` that cross or overlap; all of them must have an area."""
    x = np.asarray(triangles, np.float64)
    found = [np.zeros((0, 2), np.int64)]
    for pairs in overlapping_pairs(x.min(1), x.max(1)):
        found.append(pairs[crossing_pairs(x[pairs[:, 0]], x[pairs[:, 1]])])
    return np.concatenate(found)


def crossing_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether the triangles `a [P, 3, 3]` and `b [P, 3, 3]` cross or overlap, `[P]` bool."""
    above, below = _sides(a, b), _sides(b, a)
    out = np.zeros(len(a), bool)
    for one, other, side in ((a, b, above), (b, a, below)):
        rows = np.flatnonzero((side > 0).any(1) & (side < 0).any(1))
        out[rows] |= _pierces(one[rows], other[rows], side[rows])
    rows = np.flatnonzero(~above.any(1) | ~below.any(1))
    out[rows] |= _overlap(a[rows], b[rows])
    return out


def _sides(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """On which side of b's plane each corner of a lies, `[P, 3]` in {-1, 0, 1}."""
    return _sign(a, b[:, None, 0], b[:, None, 1], b[:, None, 2])


def _sign(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Sign of det(a - p, b - p, c - p), 0 within rounding."""
    u, v, w = a - p, b - p, c - p
    volume = (u * np.cross(v, w)).sum(-1)
    lengths = np.sqrt((u * u).sum(-1) * (v * v).sum(-1) * (w * w).sum(-1))
    return np.where(np.abs(volume) <= _ROUNDING * lengths, 0, np.sign(volume)).astype(np.int8)


def _pierces(a: np.ndarray, b: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Whether an edge of a that changes the side of b's plane meets b, `[P]` bool."""
    out = np.zeros(len(a), bool)
    for start, end in _EDGES:
        rows = np.flatnonzero(side[:, start] * side[:, end] < 0)
        p, q, t = a[rows, start], a[rows, end], b[rows]
        turns = np.stack([_sign(p, q, t[:, i], t[:, j]) for i, j in _EDGES], 1)
        out[rows] |= (turns >= 0).all(1) | (turns <= 0).all(1)
    return out


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether triangles of one plane share more than their borders, `[P]` bool."""
    normal = np.cross(b[:, 1] - b[:, 0], b[:, 2] - b[:, 0])
    # Seen along the axis that the normal is nearest to.
    kept = np.array([[1, 2], [2, 0], [0, 1]])[np.abs(normal).argmax(1)][:, None]
    origin = b[:, :1]
    flat = [np.take_along_axis(t - origin, np.broadcast_to(kept, (len(t), 3, 2)), 2) for t in (a, b)]
    out = np.ones(len(a), bool)
    for t in flat:
        for start, end in _EDGES:
            edge = t[:, end] - t[:, start]
            axis = np.stack([-edge[:, 1], edge[:, 0]], -1)[:, None]
            one, other = ((s * axis).sum(-1) for s in flat)
            slack = 1e-12 * np.maximum(np.abs(one).max(1), np.abs(other).max(1))
            out &= (one.max(1) > other.min(1) + slack) & (other.max(1) > one.min(1) + slack)
    return out
