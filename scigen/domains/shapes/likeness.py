"""Near copies: shapes of another split that differ by less than the sampling of their points.

Exact copies are found by the bytes of their files (`identity.copies`); here by geometry, up to size, place, quarter
turns about the up axis and the sampling. First a cheap description that none of these changes: where points lie by
height and by distance from the vertical axis. Then, of shapes described alike, Chamfer's distance in the best of the
four turns, laid onto each other, against what two samplings of one of them would score; and the same of the few points
that lie farthest off, for a missing handle hardly moves a mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.sets import SPLITS
from scigen.metrics.chamfer import Indexed, Matches, chamfer_l1, indexed, match
from scigen.metrics.floor import twin
from scigen.parallel import one_each_core

__all__ = ["LIKE", "described", "likeness", "near_copies"]

LIKE = 1.15  # `likeness` of copies: samplings of one shape reach 1.14, of 160 others the nearest pair was at 1.20
_HEIGHTS, _RINGS, _EXTENT = 12, 6, 2.0  # cells of a description, and how far they reach, in units of the size
_FEWEST, _COMPARED = 1500, 2048  # points without which shapes cannot be told apart, and points that are looked at
_GLANCE, _FAR = 128, 1.6  # points of a first look, and the ratio that ends it
_LAID = 3  # times that one is laid onto the other
_NOISE = 3.9  # of a description, times the root of the number of points: samplings differ by less than two of these


@dataclass(frozen=True)
class _Posed:
    """Points as `_centred` leaves them, searchable, and how far off another sampling of them would be (`_off`)."""

    cloud: Indexed
    floor: tuple[float, float]


def near_copies(points: Callable[[int], np.ndarray], split: np.ndarray) -> np.ndarray:
    """Rows `[M]`, bool, that are near copies of a shape that stays: `val` yields to `test`, and both to `train`.

    `points(k)` are those of shape k, `[N, 3]`, in random order; `split [M]` indexes `SPLITS`. Copies inside a split
    stay: they leak nothing. So do shapes of fewer than 1,500 points: at 800 one bed passes for another.
    """
    dropped = np.zeros(len(split), bool)
    if len(np.unique(split)) < 2:
        return dropped
    told = [described(points(k)) for k in range(len(split))]
    table, reach = np.stack([row for row, _ in told]), np.array([noise for _, noise in told])
    dense = reach <= _NOISE / _FEWEST**0.5
    train, val, test = (np.flatnonzero(dense & (split == SPLITS.index(name))) for name in ("train", "val", "test"))
    for early, late in ((train, test), (np.concatenate([train, test]), val)):
        kept = early[~dropped[early]]
        dropped[list(_met(points, table, reach, kept, late))] = True
    return dropped


def described(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Roots of the shares of points by height and by distance from the vertical axis through their mean, in units of
    their root mean square size, as one row; and how far sampling moves such a row (Euclidean length).

    A point counts in the four cells around it, by its nearness to each: a flat side at an edge must not jump.
    """
    x = _centred(points)
    height = np.clip((x[:, 1] / _EXTENT + 1) / 2 * _HEIGHTS, 0, _HEIGHTS)
    ring = np.clip(np.hypot(x[:, 0], x[:, 2]) / _EXTENT * _RINGS, 0, _RINGS)
    share = np.zeros((_HEIGHTS + 2, _RINGS + 2))
    (i, u), (j, v) = ((at.astype(int), at % 1) for at in (height, ring))
    for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)):
        np.add.at(share, (i + di, j + dj), np.abs(1 - di - u) * np.abs(1 - dj - v))
    return np.sqrt(share / len(x)).ravel(), _NOISE / len(x) ** 0.5


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """How far two clouds lie off each other, in the best of four turns about y, over what two samplings of one shape
    do: about 1 for these. The larger of two ratios, of the mean distance and of the one that 2 % of points exceed.
    """
    return _likeness(_centred(a), _posed(_centred(b)))


def _met(
    points: Callable[[int], np.ndarray], table: np.ndarray, reach: np.ndarray, early: np.ndarray, late: np.ndarray
) -> Iterator[int]:
    """Those of `late` that are near copies of one of `early`."""
    from scipy.spatial import cKDTree

    if not len(early):
        return
    found = cKDTree(table[early]).query_ball_point(table[late], np.hypot(reach[early].max(), reach[late]))

    def has_a_copy(row: int) -> bool:
        if not found[row]:
            return False
        mine, near = _posed(_centred(points(int(late[row])))), early[found[row]]
        near = near[np.argsort(np.square(table[near] - table[late[row]]).sum(1), kind="stable")]
        return any(_likeness(_centred(points(int(k))), mine) <= LIKE for k in near)

    yield from (int(k) for k, copied in zip(late, one_each_core(has_a_copy, range(len(late)))) if copied)


def _centred(points: np.ndarray) -> np.ndarray:
    """Some of the points about their mean, at unit root mean square."""
    x = points[:_COMPARED].astype(np.float64)
    x = x - points.mean(0, dtype=np.float64)
    return x / max(float(np.sqrt(np.square(x).sum(1).mean())), 1e-12)


def _posed(x: np.ndarray) -> _Posed:
    cloud = indexed(x)
    return _Posed(cloud, _off(twin(cloud)))


def _off(m: Matches) -> tuple[float, float]:
    """Mean of the nearest distances both ways, and the one that 2 % exceed."""
    return chamfer_l1(m), float(np.quantile(m.a, 0.98) + np.quantile(m.b, 0.98)) / 2


def _likeness(a: np.ndarray, b: _Posed) -> float:
    """The same of centred points; infinite where a first look finds them too far apart in every turn."""
    turns = [k for k in range(4) if _passes(b.cloud.tree.query(_turned(a[:_GLANCE], k))[0], b.floor)]
    if not turns:
        return np.inf
    floor = _posed(a).floor
    found = [_off(match(indexed(_laid(_turned(a, k), b.cloud)), b.cloud)) for k in turns]
    return min(max(2 * x / (p + q) for x, p, q in zip(off, floor, b.floor)) for off in found)


def _passes(distance: np.ndarray, floor: tuple[float, float]) -> bool:
    """Whether a few points lie near enough to look at the rest."""
    return bool(distance.mean() <= _FAR * floor[0] and np.quantile(distance, 0.95) <= _FAR * floor[1])


def _laid(x: np.ndarray, onto: Indexed) -> np.ndarray:
    """Moved and scaled onto the nearest points: means and sizes are known from samples only."""
    for _ in range(_LAID):
        met = onto.points[onto.tree.query(x)[1]]
        there, here = met - met.mean(0), x - x.mean(0)
        x = here * ((here * there).sum() / np.square(here).sum()) + met.mean(0)
    return x


def _turned(x: np.ndarray, quarters: int) -> np.ndarray:
    """Turned about y by quarters of a circle."""
    c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
    return np.stack([c * x[:, 0] + s * x[:, 2], x[:, 1], c * x[:, 2] - s * x[:, 0]], 1)
