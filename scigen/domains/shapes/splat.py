"""What a pinhole camera sees of a cloud: the points that no nearer point covers."""

from __future__ import annotations

import numpy as np

from scigen.domains.shapes.rays import Hits, Pose, towards
from scigen.io.shape import Cloud

__all__ = ["splat_cloud"]

_GAP = 1.6  # radius of a disc, in distances between neighbouring points


def splat_cloud(cloud: Cloud, pose: Pose) -> Hits:
    """The points of a cloud that are seen, each in its own pixel.

    Every point becomes a disc in its tangent plane (facing the eye where there are no normals), 1.6 median distances
    between neighbours in radius, and all discs a depth picture. A point is seen when it faces the eye and lies no more
    than two radii (three without normals) behind the picture at its own pixel. Rims come out about a disc too full.
    """
    from scipy.spatial import cKDTree

    points = cloud.points.astype(np.float64)
    gap = float(np.median(cKDTree(points).query(points, k=2)[0][:, 1])) if len(points) > 1 else 0.0
    xy, z = pose.project(points)
    cell, sight = np.rint(xy).astype(np.int64), points - pose.eye
    facing = ((cell >= 0) & (cell < pose.pixels)).all(1) & (z > 0)
    normals, slack = -sight, 3.0
    if cloud.normals is not None:
        normals, slack = cloud.normals.astype(np.float64), 2.0
        facing &= (normals * sight).sum(1) < 0
    rows = np.flatnonzero(facing)
    picture = _discs(pose, cell[rows], sight[rows], normals[rows], _GAP * gap)
    pixel = cell[:, 1] * pose.pixels + cell[:, 0]
    rows = rows[z[rows] <= picture[pixel[rows]] + slack * _GAP * gap]
    seen = None if cloud.normals is None else towards(cloud.normals[rows], sight[rows])
    return Hits(pixel[rows], np.linalg.norm(sight[rows], axis=1), points[rows], seen)


def _discs(pose: Pose, cell: np.ndarray, sight: np.ndarray, normals: np.ndarray, radius: float) -> np.ndarray:
    """Depth picture `[pixels^2]` of discs centred at eye + `sight`, inf where there is none.

    The ray q = z (u, v, 1) of a pixel meets the plane of a disc at z = p.n / (u, v, 1).n, and the disc if |q - p| is
    within the radius; only pixels that close to the centre are tried.
    """
    picture = np.full(pose.pixels**2, np.inf)
    p, n = sight @ pose.axes.T, normals @ pose.axes.T
    width = 2 * pose.slope / pose.pixels  # of a pixel, at distance 1
    reach = int(np.ceil(radius / (width * p[:, 2].min()))) if len(p) else 0
    for dx, dy in np.ndindex(2 * reach + 1, 2 * reach + 1):
        x, y = cell[:, 0] + dx - reach, cell[:, 1] + dy - reach
        ray = np.stack([width * (x + 0.5) - pose.slope, pose.slope - width * (y + 0.5), np.ones(len(x))], -1)
        slant = (ray * n).sum(1)
        z = (p * n).sum(1) / np.where(slant < 0, slant, np.inf)
        on = (((z[:, None] * ray - p) ** 2).sum(1) <= radius**2) & (z > 0)
        on |= (dx == reach) & (dy == reach)  # a disc seen from its edge still holds its own pixel
        on &= (x >= 0) & (x < pose.pixels) & (y >= 0) & (y < pose.pixels)
        near = np.where(z > 0, np.minimum(z, p[:, 2] + radius), p[:, 2])
        np.minimum.at(picture, y[on] * pose.pixels + x[on], near[on])
    return picture
