"""A shape of any size and place, brought into the unit frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scigen.domains.shapes.frame import Frame, bounding_frame
from scigen.io.shape import Cloud, Mesh

__all__ = ["unit_shape"]


def unit_shape(shape: Mesh | Cloud) -> tuple[Mesh | Cloud, Frame]:
    """The shape in its unit frame, float32, and the frame that leads back; vertices without a face do not count.

    Raises `ValueError` for a shape without extent.
    """
    if isinstance(shape, Cloud):
        frame = bounding_frame(_outermost(shape.points))
        return replace(shape, points=frame.enter(shape.points)), frame
    frame = bounding_frame(_outermost(shape.vertices[np.unique(shape.faces)]))
    return replace(shape, vertices=frame.enter(shape.vertices)), frame


def _outermost(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull: they have the same enclosing sphere, and are few. Flat shapes stay whole."""
    from scipy.spatial import ConvexHull, QhullError

    if len(points) < 100:
        return points
    try:
        return points[ConvexHull(points.astype(np.float64) - points.mean(0, dtype=np.float64)).vertices]
    except QhullError:
        return points
