"""How evenly a cloud lies on its surface, and how many of its points lie off it, from the cloud alone."""

from __future__ import annotations

import math

import numpy as np

from scigen.metrics.chamfer import Indexed

__all__ = ["UNIFORM_SPREAD", "spacing_spread", "stray_share"]

# Nearest distances of uniform draws on a surface follow Rayleigh's law: deviation over mean is sqrt(4 / pi - 1).
UNIFORM_SPREAD = math.sqrt(4 / math.pi - 1)

_NEIGHBOUR = 8
_FAR = 3.0


def spacing_spread(cloud: Indexed) -> float:
    """Standard deviation over mean of nearest distances: 0 on a lattice, 0.523 for uniform draws, more for clusters.

    Raises `ValueError` for fewer than two points, or if all coincide.
    """
    distance = _neighbour(cloud, 1)
    if not distance.mean() > 0:
        raise ValueError("all points coincide with another; the spacing of such a cloud has no spread.")
    return float(distance.std() / distance.mean())


def stray_share(cloud: Indexed) -> float:
    """Share of points whose 8th neighbour is farther than 3 times the median of that distance.

    A uniform sampling of a surface has none (n pi d^2 / A follows Gamma(8), beyond 9 medians with probability 1e-19);
    noise between parts and outliers have. Raises `ValueError` for fewer than nine points.
    """
    distance = _neighbour(cloud, _NEIGHBOUR)
    return float((distance > _FAR * np.median(distance)).mean())


def _neighbour(cloud: Indexed, k: int) -> np.ndarray:
    if len(cloud.points) <= k:
        raise ValueError(f"a neighbour of rank {k} needs more than {k} points, got {len(cloud.points)}.")
    return cloud.tree.query(cloud.points, k=[k + 1])[0][:, 0]
