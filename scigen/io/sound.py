"""What every reader hands out: a finite cloud, a mesh whose faces exist, nothing empty, nothing dropped."""

from __future__ import annotations

import numpy as np

from scigen.io.shape import Cloud, Mesh

__all__ = ["fan", "sound_cloud", "sound_mesh"]

_FARTHEST = 1e18  # squares of distances must stay inside float32, whose largest number is 3.4e38
_UNIT_SLACK = 1e-3  # normals of this length error are left as they are, bit for bit
_SHORTEST = 1e-12


def sound_cloud(points: np.ndarray, normals: np.ndarray | None = None) -> Cloud:
    """A Cloud of `points [N, 3]` as float64 and `normals [N, 3]` as unit vectors, float32.

    float64 keeps offsets like those of map coordinates; narrowing is for those who have centred. Normals that are off
    unit length by more than 1e-3 are scaled, all of them. Raises ValueError for an empty cloud, coordinates that are
    not finite or beyond 1e18, and normals without a direction, with their number and the first index.
    """
    if not len(points):
        raise ValueError("it holds no points")
    return Cloud(_coordinates(points, "points"), None if normals is None else _directions(normals))


def sound_mesh(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray | None = None) -> Mesh:
    """A Mesh of `vertices [V, 3]` as float64 and `faces [F, 3]` as int32 that name existing vertices, `part` as int16.

    Vertices that no face uses stay. Raises ValueError for no triangles, labels beyond int16, and what `sound_cloud`
    and `fan` refuse.
    """
    if not len(faces):
        raise ValueError("it holds no triangles")
    faces = fan(faces.reshape(-1), np.full(len(faces), 3), len(vertices))
    return Mesh(_coordinates(vertices, "vertices"), faces, None if part is None else _labels(part))


def fan(corners: np.ndarray, counts: np.ndarray, vertices: int) -> np.ndarray:
    """Triangles `[F, 3]`, int32, of polygons: `counts [P]` corners each, one after the other in `corners`.

    A polygon (a, b, c, d, ...) becomes (a, b, c), (a, c, d), ...: right for planar convex polygons, which is what
    modelling programs mean by a face. Raises ValueError for fewer than three corners or a vertex that does not exist.
    """
    if (counts < 3).any():
        face = int(np.argmax(counts < 3))
        raise ValueError(f"the face {face} has {int(counts[face])} corners; a face has three or more")
    with np.errstate(invalid="ignore"):
        index = corners.astype(np.int64)
    bad = (index != corners) | (index < 0) | (index >= vertices)
    if bad.any():
        at = int(np.argmax(bad))
        face = int(np.searchsorted(np.cumsum(counts), at, side="right"))
        raise ValueError(f"the face {face} names the vertex {corners[at]:g}, and there are {vertices}, from 0 on")
    start = np.cumsum(counts) - counts
    ears = counts - 2
    first = np.repeat(start, ears)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(ears) - ears, ears)
    return np.stack([index[first], index[second], index[second + 1]], axis=1).astype(np.int32)


def _coordinates(points: np.ndarray, name: str) -> np.ndarray:
    points = np.ascontiguousarray(points, dtype=np.float64)
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(points)} {name} are not finite, the first at index {int(np.argmax(bad))}; "
            "delete them and save the file again"
        )
    far = float(np.abs(points).max())
    if far > _FARTHEST:
        raise ValueError(f"a coordinate of {far:.3g} is beyond {_FARTHEST:.0g}, which is no length in any unit")
    return points


def _labels(part: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        labels = part.astype(np.int16)
    if (labels != part).any():
        raise ValueError(f"the part {part[np.argmax(labels != part)]:g} is no whole number of 16 bits")
    return labels


def _directions(normals: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        normals = np.asarray(normals, dtype=np.float64)
        length = np.sqrt((normals * normals).sum(axis=1, keepdims=True))
    bad = ~(np.isfinite(length) & (length > _SHORTEST))[:, 0]
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(normals)} normals have no direction, the first at index {int(np.argmax(bad))}; "
            "compute them again or save the file without normals"
        )
    skewed = np.abs(length - 1).max() > _UNIT_SLACK
    return np.ascontiguousarray(normals / length if skewed else normals, dtype=np.float32)
