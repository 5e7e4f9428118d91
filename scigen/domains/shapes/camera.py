"""A virtual depth camera: the partial cloud that a sensor at one viewpoint would give of a shape in the unit frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.rays import Hits, Pose, trace_mesh
from scigen.domains.shapes.resample import resample
from scigen.domains.shapes.splat import splat_cloud
from scigen.io.shape import Cloud, Mesh

__all__ = ["Camera", "View", "scan", "view_of"]

_LEAST = 32  # pixels left of a view worth having; a plate seen from its edge has fewer
_TRIES = 20
_BESIDE = 6  # neighbours of a point in the picture
_JUMP = 0.03  # difference in depth between neighbouring pixels that makes them an edge
_SLANTED = 12.0  # share of slant in the noise: 0.0001 against 0.0012 in Nguyen et al.


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that just holds the unit sphere of diameter 1, and the faults of its depth sensor.

    The depth noise has the standard deviation noise (z / distance)^2 (1 + q^2 / (pi/2 - q)^2 / 12), with z the depth
    and q the angle between the ray and the normal: the form measured for structured light (Nguyen, Izadi and Lovell
    2012, 3DIMPVT). Lengths are in diameters of the shape.
    """

    pixels: int = 96  # the picture has pixels^2 rays
    distance: float = 1.5  # from the eye to the centre
    noise: float = 0.002  # of the depth at the centre, seen straight
    grazing: float = 80.0  # degrees between ray and normal beyond which nothing returns
    dropout: float = 0.02  # share of pixels lost at random
    edges: float = 0.5  # share of pixels lost beside a jump of depth
    holes: int = 3  # round patches without return
    hole: float = 0.04  # their largest radius, as a share of the picture's width

    def __post_init__(self) -> None:
        if self.distance <= 0.5 or self.pixels < 1:
            raise ValueError(
                f"a camera of {self.pixels} pixels at distance {self.distance}; it needs a pixel, and to stand outside "
                "the shape's sphere of radius 0.5."
            )

    def pose(self, direction: np.ndarray) -> Pose:
        """The camera on the side `direction [3]` of the shape, looking at its centre, with y up in the picture."""
        backward = direction / np.linalg.norm(direction)
        upright = np.array([0.0, 1.0, 0.0]) if abs(backward[1]) < 0.99 else np.array([0.0, 0.0, -1.0])
        right = np.cross(upright, backward)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(backward, right), -backward])
        return Pose(self.distance * backward, axes, self.pixels, float(np.tan(np.arcsin(0.5 / self.distance))))


@dataclass(frozen=True)
class View:
    """One viewpoint: where the camera is, what it could see at best, and the `cloud` it gives with all its faults.

    The normals of `cloud` are those of the clean surface, turned towards the camera.
    """

    pose: Pose
    hits: Hits
    cloud: Cloud

    def visible(self, points: np.ndarray) -> np.ndarray:
        """Which of the shape's points `[N, 3]` lie on what is seen, `[N]` bool: observed against missing region.

        A point is seen when the pixel nearest to its line of sight, within two pixels, shows a plane that passes no
        more than two pixels' width in front of it.
        """
        from scipy.spatial import cKDTree

        sight = points.astype(np.float64) - self.pose.eye
        distance = np.linalg.norm(sight, axis=1)
        seen = (self.hits.points - self.pose.eye) / self.hits.distance[:, None]
        width = 2 * self.pose.slope / self.pose.pixels
        angle, nearest = cKDTree(seen).query(sight / distance[:, None])
        normals = -seen if self.hits.normals is None else self.hits.normals
        plane = self.hits.distance * (normals * seen).sum(1)
        met = plane[nearest] / np.minimum((normals[nearest] * sight).sum(1) / distance, -1e-3)
        return (angle < 2 * width) & (distance - met < 2 * width * distance)


def view_of(shape: Mesh | Cloud, rng: np.random.Generator, camera: Camera = Camera()) -> View:
    """See a shape of the unit frame from a direction drawn uniformly on the sphere.

    A mesh is traced ray by ray; of a cloud, dense and best with normals, the points that no other covers are seen.
    Directions that leave fewer than 32 pixels (a plate from its edge) are drawn again. Raises `ValueError` after 20.
    """
    for _ in range(_TRIES):
        pose = camera.pose(rng.normal(size=3))
        hits = trace_mesh(shape, pose) if isinstance(shape, Mesh) else splat_cloud(shape, pose)
        edge = _beside_jumps(hits, pose) if isinstance(shape, Mesh) else _among_jumps(hits, pose)
        cloud = _sensed(hits, edge, pose, camera, rng)
        if len(cloud) >= _LEAST:
            return View(pose, hits, cloud)
    raise ValueError(
        f"no view out of {_TRIES} left {_LEAST} pixels of the shape; it must lie in the unit frame, and the camera's "
        "faults must leave something."
    )


def scan(shape: Mesh | Cloud, rng: np.random.Generator, n: int = 2048, camera: Camera = Camera()) -> Cloud:
    """`n` points of a partial cloud from one random viewpoint, in the shape's own unit frame; see `view_of`.

    More pixels than `n` are thinned at random; fewer are repeated in whole rounds (`resample`).
    """
    return resample(view_of(shape, rng, camera).cloud, n, rng)


def _sensed(hits: Hits, edge: np.ndarray, pose: Pose, camera: Camera, rng: np.random.Generator) -> Cloud:
    """What is left of the hits: noise along the ray, and the pixels that do not return."""
    ray = (hits.points - pose.eye) / hits.distance[:, None]
    z = ray @ pose.axes[2] * hits.distance
    angle = np.zeros(len(z))
    if hits.normals is not None:
        angle = np.arccos(np.clip(-(hits.normals * ray).sum(1), 0, 1))
    slant = (angle / np.maximum(np.pi / 2 - angle, 1e-3)) ** 2 / _SLANTED
    sigma = camera.noise * (z / camera.distance) ** 2 * (1 + slant)
    points = hits.points + (sigma * rng.normal(size=len(z)))[:, None] * ray
    kept = (angle < np.radians(camera.grazing)) & (rng.random(len(z)) >= camera.dropout)
    kept &= ~(edge & (rng.random(len(z)) < camera.edges))
    kept &= ~_in_holes(hits, camera, rng)
    normals = None if hits.normals is None else hits.normals[kept].astype(np.float32)
    return Cloud(points[kept].astype(np.float32), normals)


def _depth_picture(pose: Pose, hits: Hits) -> np.ndarray:
    """Depth of the nearest hit of each pixel, `[pixels, pixels]`; inf where there is none."""
    picture = np.full(pose.pixels**2, np.inf)
    np.minimum.at(picture, hits.pixel, (hits.points - pose.eye) @ pose.axes[2])
    return picture.reshape(pose.pixels, pose.pixels)


def _beside_jumps(hits: Hits, pose: Pose) -> np.ndarray:
    """Hits in a pixel whose depth differs from one of its four neighbours', or that has an empty neighbour."""
    depth = np.pad(np.minimum(_depth_picture(pose, hits), 1e6), 1, constant_values=1e6)
    middle = depth[1:-1, 1:-1]
    around = (depth[:-2, 1:-1], depth[2:, 1:-1], depth[1:-1, :-2], depth[1:-1, 2:])
    edge = np.max([np.abs(beside - middle) for beside in around], 0) > _JUMP
    return edge.ravel()[hits.pixel]


def _among_jumps(hits: Hits, pose: Pose) -> np.ndarray:
    """Points whose nearest neighbours in the picture include one far off their plane; none without normals.

    Points are too few to fill the pixels, so an empty pixel says nothing and outlines do not count as edges.
    """
    from scipy.spatial import cKDTree

    if hits.normals is None or len(hits.pixel) <= _BESIDE:
        return np.zeros(len(hits.pixel), bool)
    ray = (hits.points - pose.eye) / hits.distance[:, None]
    around = cKDTree(ray).query(ray, k=_BESIDE + 1)[1][:, 1:]
    off = np.einsum("ikc,ic->ik", hits.points[around] - hits.points[:, None], hits.normals)
    return np.abs(off).max(1) > _JUMP


def _in_holes(hits: Hits, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Hits inside round patches around some of the hits, their radii uniform up to the largest."""
    inside = np.zeros(len(hits.pixel), bool)
    if not len(inside):
        return inside
    y, x = np.divmod(hits.pixel, camera.pixels)
    for center, share in zip(rng.integers(len(inside), size=camera.holes), rng.random(camera.holes)):
        radius = share * camera.hole * camera.pixels
        inside |= (x - x[center]) ** 2 + (y - y[center]) ** 2 < radius**2
    return inside
