"""Points spread evenly over the surface of a mesh."""

from __future__ import annotations

import numpy as np

from scigen.io.shape import Cloud, Mesh

__all__ = ["sample_surface", "surface_area"]


def sample_surface(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[Cloud, np.ndarray]:
    """`n` independent area-uniform points with their faces' outward normals, and the index of each point's face `[n]`.

    A face is drawn with a probability proportional to its area, then p = (1 - √u) a + √u (1 - v) b + √u v c with u and
    v uniform: √u is the law of the distance from corner a, in units of the height over it (Osada et al. 2002).
    `mesh.part[face]` labels the points, which are as precise as the vertices. Raises `ValueError` for a negative `n`
    and for a mesh without area.
    """
    if n < 0:
        raise ValueError(f"{n} points asked for; the number must be zero or more.")
    (a, b, c), normal = _twice_normals(mesh)
    twice_area = np.linalg.norm(normal, axis=1)
    up_to = np.cumsum(twice_area)
    total = up_to[-1] if len(up_to) else 0.0
    if not (np.isfinite(total) and total > 0):
        raise ValueError(f"a mesh of {len(mesh.faces)} faces with area {total / 2:.3g}; points need a surface.")
    # Searching from the right skips faces without area, which have no normal either.
    face = np.searchsorted(up_to, rng.random(n) * total, side="right").clip(max=int(twice_area.nonzero()[0][-1]))
    root, v = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    points = (1 - root) * a[face] + root * (1 - v) * b[face] + root * v * c[face]
    outward = normal[face] / twice_area[face, None]
    return Cloud(points.astype(mesh.vertices.dtype), outward.astype(np.float32)), face


def surface_area(mesh: Mesh) -> float:
    """Sum of the areas of the faces, in the square of the mesh's unit."""
    return float(np.linalg.norm(_twice_normals(mesh)[1], axis=1).sum()) / 2


def _twice_normals(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the faces `[3, F, 3]` and their outward normals, twice as long as the faces are large, `[F, 3]`."""
    corners = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces], 1, 0)
    a, b, c = corners
    return corners, np.cross(b - a, c - a)
