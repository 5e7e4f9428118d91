"""What a shape file holds: a cloud of points or a mesh of triangles, in the file's own units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Cloud", "Mesh"]


@dataclass(frozen=True)
class Cloud:
    """Points `[N, 3]`, float32, or float64 as files give them; outward unit normals `[N, 3]`, float32, where known."""

    points: np.ndarray
    normals: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Mesh:
    """Vertices `[V, 3]`, float32, or float64 as files give them; triangles `[F, 3]`, int32, counter-clockwise outside.

    `part [F]`, int16, labels the part of the object that a triangle belongs to, where it is known.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray | None = None
