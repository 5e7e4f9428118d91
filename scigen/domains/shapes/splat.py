"""What a pinhole camera sees of a cloud: the points that no nearer point covers."""

from __future__ import annotations

import numpy as np

from scigen.domains.shapes.rays import Hits, Pose, towards
from scigen.io.shape import Cloud

__all__ = ["splat_cloud"]

_GAP = 2.0  # radius of a disc, in median distances between neighbouring points
_SLACK = 0.5  # radii by which a disc lies in front of a point that it hides
_AROUND = 12  # neighbours that a tangent plane is fitted to


def splat_cloud(cloud: Cloud, pose: Pose) -> Hits:
    """The points of a cloud that are seen, each with the pixel it falls into.

    Every point becomes a disc in its tangent plane, two median distances between neighbours in radius. A point is seen
    when it faces the eye and the line from the eye meets no disc more than half a radius in front of it. Without
    normals the planes are fitted to 12 neighbours and nothing tells front from back, so thin plates shine through.
    """
    from scipy.spatial import cKDTree

    points = cloud.points.astype(np.float64)
    distance, around = cKDTree(points).query(points, k=min(_AROUND, len(points)))
    radius = _GAP * float(np.median(distance.reshape(len(points), -1)[:, 1:2])) if len(points) > 1 else 0.0
    xy, z = pose.project(points)
    cell, sight = np.rint(xy).astype(np.int64), points - pose.eye
    seen = ((cell >= 0) & (cell < pose.pixels)).all(1) & (z > 0)
    if cloud.normals is None:
        normals = towards(_tangent_normals(points[around.reshape(len(points), -1)]), sight)
    else:
        normals = cloud.normals.astype(np.float64)
        seen &= (normals * sight).sum(1) < 0
    rows = np.flatnonzero(seen)
    rows = rows[~_hidden(sight[rows], normals[rows], radius)]
    pixel = cell[rows, 1] * pose.pixels + cell[rows, 0]
    kept = None if cloud.normals is None else normals[rows]
    return Hits(pixel, np.linalg.norm(sight[rows], axis=1), points[rows], kept)


def _tangent_normals(groups: np.ndarray) -> np.ndarray:
    """Direction of least spread of every group `[N, k, 3]`, of either sign."""
    centred = groups - groups.mean(1, keepdims=True)
    return np.linalg.eigh(np.einsum("nka,nkb->nab", centred, centred))[1][:, :, 0]


def _hidden(sight: np.ndarray, normals: np.ndarray, radius: float) -> np.ndarray:
    """Which of the points eye + `sight` a disc of another covers, `[N]` bool.

    The line s p_i meets the plane of disc j at s = p_j.n_j / p_i.n_j, and the disc if |s p_i - p_j| <= radius.
    """
    from scipy.spatial import cKDTree

    hidden = np.zeros(len(sight), bool)
    if not len(sight):
        return hidden
    distance = np.linalg.norm(sight, axis=1)
    # Only discs within this angle of a line can meet it, and on the unit sphere they are near it.
    pairs = cKDTree(sight / distance[:, None]).query_pairs(radius / distance.min(), output_type="ndarray")
    i, j = np.concatenate([pairs, pairs[:, ::-1]]).T
    slant = (sight[i] * normals[j]).sum(1)
    s = (sight[j] * normals[j]).sum(1) / np.where(slant < 0, slant, -np.inf)
    on = ((s[:, None] * sight[i] - sight[j]) ** 2).sum(1) <= radius**2
    hidden[i[on & (s > 0) & ((1 - s) * distance[i] > _SLACK * radius)]] = True
    return hidden
