"""Two meshes compared: the share of volume they have in common, and how their normals agree.

Inside is where a point's winding number is not 0. Space is cut into columns; along each the crossings of both surfaces
are sorted and their signs summed, which gives the inside of both exactly, so that only the columns are a sample. Both
are first turned, by a fixed rotation out of every plane of symmetry, so that no face or edge stands along the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scigen.metrics.chamfer import Indexed, Matches

__all__ = ["Overlap", "indexed_surface", "normal_consistency", "volume_overlap"]

_BATCH = 1 << 20  # (triangle, column) pairs tested at once
_TURN = np.array([0.87, 0.23, -0.31, 0.29])  # a quaternion, scaled to length 1 below


@dataclass(frozen=True)
class Overlap:
    """Volumes in units of length^3: of `a`, of `b`, of what is in both; and iou = both / (a + b - both)."""

    a: float
    b: float
    both: float

    @property
    def iou(self) -> float:
        """Intersection over union; 0 when there is no volume."""
        union = self.a + self.b - self.both
        return self.both / union if union > 0 else 0.0


def volume_overlap(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], columns: int = 128) -> Overlap:
    """The volumes of two closed meshes `(vertices [V, 3], faces [F, 3])` and of their intersection.

    On `columns`^2 columns over the box of both; at 128 volumes are right to about 1e-3 of their own. Faces may be
    wound either way, and pieces may overlap. A column whose crossings do not cancel, through a hole or by rounding,
    counts for nothing: open meshes have no volume to speak of. Raises `ValueError` unless `columns` is positive.
    """
    if columns < 1:
        raise ValueError(f"{columns} columns; give one or more.")
    turn = _rotation()
    corners = [np.asarray(v, np.float64)[f] @ turn.T for v, f in (a, b)]
    every = np.concatenate([c.reshape(-1, 3) for c in corners])
    low, high = every.min(0), every.max(0)
    step = (high - low)[:2] / columns
    hits = [_crossings(c, low[:2], np.where(step > 0, step, 1), columns) for c in corners]
    column, z, sign = (np.concatenate(part) for part in zip(*hits))
    mesh = np.repeat([0, 1], [len(h[0]) for h in hits])
    order = np.lexsort((z, column))
    column, z, sign, mesh = column[order], z[order], sign[order], mesh[order]
    # Crossings of a closed column cancel, so one running sum over all columns is right in each.
    inside = np.stack([np.cumsum(np.where(mesh == k, sign, 0)) for k in (0, 1)])[:, :-1] != 0
    length = np.diff(z) * (np.diff(column) == 0) * step.prod()
    return Overlap(*(float(length[where].sum()) for where in (inside[0], inside[1], inside.all(0))))


def indexed_surface(points: np.ndarray, normals: np.ndarray) -> tuple[Indexed, np.ndarray]:
    """A cloud with its tree, points in the tree's order as `indexed` has them, and its normals in the same order."""
    from scipy.spatial import cKDTree

    x = np.asarray(points, np.float64)
    order = cKDTree(x, leafsize=32).indices
    return Indexed(x[order], cKDTree(x[order], leafsize=32)), normals[order]


def normal_consistency(m: Matches, gen: np.ndarray, ref: np.ndarray) -> float:
    """Mean of |n . n'| between unit normals of nearest points, averaged over both ways, in [0, 1]; arXiv:1812.03828.

    `gen [N, 3]` and `ref [M, 3]` in the order of the matched clouds. Which way a normal points is not judged here;
    two samplings of a curved surface do not reach 1.
    """
    there = np.abs((gen * ref[m.a_index]).sum(1)).mean()
    back = np.abs((ref * gen[m.b_index]).sum(1)).mean()
    return float(there + back) / 2


def _rotation() -> np.ndarray:
    w, x, y, z = _TURN / np.linalg.norm(_TURN)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def _crossings(corners: np.ndarray, low: np.ndarray, step: np.ndarray, columns: int) -> tuple[np.ndarray, ...]:
    """Column, height and sign (+1 where an upward walk goes in) of each crossing, in columns where they cancel."""
    xy = (corners[..., :2] - low) / step - 0.5  # columns stand at whole numbers
    first = np.ceil(xy.min(1)).clip(0, columns).astype(np.int64)
    wide = (np.floor(xy.max(1)).clip(-1, columns - 1).astype(np.int64) - first + 1).clip(0)
    found = [_meet(xy[t], corners[t, :, 2], x, y, columns) for t, x, y in _cells(first, wide)]
    column, z, sign = (np.concatenate(part) for part in zip(*found))
    closed = np.bincount(column, sign, columns**2)[column] == 0
    return column[closed], z[closed], sign[closed]


def _cells(first: np.ndarray, wide: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Triangle, x and y of every column in every rectangle, by batches of triangles."""
    count = wide.prod(1)
    ends = np.cumsum(count)
    cuts = np.unique(np.searchsorted(ends, np.arange(_BATCH, int(ends[-1]), _BATCH)))
    for batch in np.split(np.arange(len(first)), cuts):
        t = np.repeat(batch, count[batch])
        within = np.arange(len(t)) - np.repeat(np.cumsum(count[batch]) - count[batch], count[batch])
        yield t, first[t, 0] + within % wide[t, 0], first[t, 1] + within // wide[t, 0]


def _meet(xy: np.ndarray, z: np.ndarray, x: np.ndarray, y: np.ndarray, columns: int) -> tuple[np.ndarray, ...]:
    """Crossings of the triangles `xy [T, 3, 2]`, `z [T, 3]` with the column of each, where there is one."""
    offset = xy - np.stack([x, y], -1)[:, None]
    following, preceding = np.roll(offset, -1, 1), np.roll(offset, -2, 1)
    area = following[..., 0] * preceding[..., 1] - following[..., 1] * preceding[..., 0]
    total = area.sum(1)
    hit = np.flatnonzero(((area > 0).all(1) | (area < 0).all(1)) & (total != 0))
    height = (area[hit] * z[hit]).sum(1) / total[hit]
    # A face that is wound counter-clockwise seen from above looks up: a walk upwards leaves there.
    return x[hit] * columns + y[hit], height, -np.sign(total[hit])
