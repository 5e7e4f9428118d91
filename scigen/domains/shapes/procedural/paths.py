"""Paths in space for sweeps and profiles for lathes, `[K, D]`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["arc", "bent", "bezier", "smooth"]


def bezier(control: Sequence[Sequence[float]], count: int = 12) -> np.ndarray:
    """`count` points of the Bezier curve of the control points, by repeated interpolation (de Casteljau)."""
    t = np.linspace(0, 1, count)[:, None, None]
    points = np.broadcast_to(np.asarray(control, np.float64), (count, *np.shape(control)))
    while points.shape[1] > 1:
        points = (1 - t) * points[:, :-1] + t * points[:, 1:]
    return points[:, 0]


def bent(points: Sequence[Sequence[float]], radius: float, steps: int = 4) -> np.ndarray:
    """A polyline whose inner corners are bent by parabolas that begin `radius` (or half a side) before them."""
    p = np.asarray(points, np.float64)
    path = [p[:1]]
    for before, corner, after in zip(p[:-2], p[1:-1], p[2:], strict=True):
        start, end = (
            corner + (q - corner) * min(0.49, radius / max(float(np.linalg.norm(q - corner)), 1e-12))
            for q in (before, after)
        )
        path.append(bezier([start, corner, end], steps + 1))
    return np.concatenate([*path, p[-1:]])


def arc(radius: float, start: float, end: float, count: int = 12) -> np.ndarray:
    """`count` points (radius cos, radius sin) between two angles in degrees, `[K, 2]`."""
    angle = np.radians(np.linspace(start, end, count))
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def smooth(knots: Sequence[Sequence[float]], count: int = 16) -> np.ndarray:
    """A profile (radius, height) through knots of increasing height, without overshoot (Fritsch and Carlson 1980)."""
    from scipy.interpolate import PchipInterpolator

    radius, height = np.asarray(knots, np.float64).T
    # Knots stay on the profile: feet and rims are sharp.
    levels = np.union1d(height, np.linspace(height[0], height[-1], count))
    levels = levels[np.append(True, np.diff(levels) > 1e-3 * (height[-1] - height[0]))]
    return np.stack([PchipInterpolator(height, radius)(levels), levels], 1)
