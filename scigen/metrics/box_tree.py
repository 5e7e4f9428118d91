"""Pairs of boxes that overlap, by a tree of boxes over the curve of Morton, descended breadth-first in numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["overlapping_pairs"]

_BATCH = 1 << 18  # pairs of boxes in hand at a time
_BITS = 10  # of each coordinate in the code that orders the leaves


def overlapping_pairs(low: np.ndarray, high: np.ndarray) -> Iterator[np.ndarray]:
    """Every pair of the boxes from `low [N, 3]` to `high [N, 3]` that touch or overlap, once, in batches `[P, 2]`.

    A binary tree of bounding boxes is descended from the pair (root, root); a pair whose boxes are apart goes no
    further. About N log N tests where boxes are small beside the whole, and bounded memory wherever they are not.
    """
    count = len(low)
    order = np.argsort(_morton((low + high) / 2), kind="stable")
    depth = max(count - 1, 0).bit_length()
    empty = (2**depth - count, 3)
    lows = [np.concatenate([low[order], np.full(empty, np.inf)])]
    highs = [np.concatenate([high[order], np.full(empty, -np.inf)])]
    for _ in range(depth):
        lows.append(lows[-1].reshape(-1, 2, 3).min(1))
        highs.append(highs[-1].reshape(-1, 2, 3).max(1))
    waiting = [(depth, np.zeros((1, 2), np.int64))] if count else []
    while waiting:
        level, pairs = waiting.pop()
        if level == 0:
            found = pairs[pairs[:, 0] < pairs[:, 1]]
            if len(found):
                yield np.sort(order[found], axis=1)
            continue
        pairs = _children(pairs)
        a, b = pairs.T
        below, above = lows[level - 1], highs[level - 1]
        pairs = pairs[((below[a] <= above[b]) & (below[b] <= above[a])).all(1)]
        waiting += [(level - 1, part) for part in np.array_split(pairs, -(-len(pairs) // _BATCH)) if len(part)]


def _children(pairs: np.ndarray) -> np.ndarray:
    """The four pairs of children of each pair of nodes; of a node with itself each pair once."""
    children = 2 * np.repeat(pairs, 4, 0) + np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (len(pairs), 1))
    return children[children[:, 0] <= children[:, 1]]


def _morton(points: np.ndarray) -> np.ndarray:
    """Codes whose bits alternate between x, y and z: near codes are near points."""
    span = np.ptp(points, axis=0).max() if len(points) else 0.0
    cell = (points - points.min(0)) / (span or 1.0) * (2**_BITS - 1) if len(points) else points
    whole = cell.astype(np.int64)
    code = np.zeros(len(points), np.int64)
    for bit in range(_BITS):
        for axis in range(3):
            code |= ((whole[:, axis] >> bit) & 1) << (3 * bit + axis)
    return code
