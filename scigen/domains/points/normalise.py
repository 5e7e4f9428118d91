"""The frame in which clouds are compared. No distance means anything without its name.

    x = (X - center) / scale

    global   mean of all reference points, their standard deviation: one transform for every cloud of both sets
    bbox     middle of the cloud's bounding box, half its longest side: inside [-1, 1]^3
    unit     mean of the cloud's points, distance of the farthest: inside the unit sphere (radius 1)
    none     the files' own coordinates

1-NNA and coverage are the same under `global` and `none`; papers that standardise a dataset and score denormalised
clouds (PointFlow, PVD, LION) are `none` on clouds in the dataset's units. The choice alone moves 1-NNA by ten points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["NORMS", "Transform", "global_transform", "own_transform"]

NORMS = ("global", "bbox", "unit", "none")


@dataclass(frozen=True)
class Transform:
    """x = (X - center) / scale."""

    center: np.ndarray  # [3]
    scale: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The points `[N, 3]` in the frame, float64."""
        return (np.asarray(points, np.float64) - self.center) / self.scale


def own_transform(points: np.ndarray, norm: str) -> Transform:
    """The transform of one cloud `[N, 3]` under `bbox`, `unit` or `none`.

    Raises `ValueError` for another name (`global` belongs to a set) and for points without extent.
    """
    x = np.asarray(points, np.float64)
    if norm == "none":
        return Transform(np.zeros(3), 1.0)
    if norm == "bbox":
        low, high = x.min(0), x.max(0)
        return _checked((low + high) / 2, float((high - low).max()) / 2)
    if norm == "unit":
        center = x.mean(0)
        return _checked(center, float(np.linalg.norm(x - center, axis=1).max()))
    raise ValueError(f"there is no normalisation `{norm}` of a single cloud; take bbox, unit or none.")


def global_transform(clouds: Sequence[np.ndarray]) -> Transform:
    """Mean and standard deviation (over all coordinates) of the points of all clouds; `ValueError` without extent."""
    x = np.concatenate([np.asarray(cloud, np.float64) for cloud in clouds])
    center = x.mean(0)
    return _checked(center, float((x - center).std()))


def _checked(center: np.ndarray, scale: float) -> Transform:
    if not scale > 1e-12 * (1 + float(np.abs(center).max())):
        raise ValueError(f"the points have no extent (they lie within {scale:.1e}); a shape needs a size.")
    return Transform(center, scale)
