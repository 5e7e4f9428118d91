"""A pinhole camera, and the first surface of a mesh that each of its pixels meets."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from scigen.io.shape import Mesh

__all__ = ["Hits", "Pose", "draw_mesh", "towards", "trace_mesh"]

_EDGE_ON = 1e-6  # cosine below which a face is seen from its edge and hides nothing
_NEAR = 1e-3  # a triangle that reaches the plane of the eye is not drawn
_CANDIDATES = 2_000_000  # pairs of pixel and triangle in memory at a time


@dataclass(frozen=True)
class Pose:
    """An eye `[3]`, the rows right, up, forward of `axes [3, 3]`, and a square picture of `pixels`^2 whose half width
    is `slope` at distance 1. A pixel (row, column) looks along forward + slope (u right - v up), u, v in (-1, 1).
    """

    eye: np.ndarray
    axes: np.ndarray
    pixels: int
    slope: float

    def rays(self) -> np.ndarray:
        """Unit directions through the centres of the pixels, `[pixels^2, 3]`, row by row from the upper left."""
        u = self.slope * ((2 * np.arange(self.pixels) + 1) / self.pixels - 1)
        right, down = np.meshgrid(u, u)
        along = np.stack([right, -down, np.ones_like(right)], -1).reshape(-1, 3) @ self.axes
        return along / np.linalg.norm(along, axis=1, keepdims=True)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column and row as real numbers `[N, 2]` (a pixel's centre at its index) and the distance forward `[N]`."""
        right, up, forward = ((points - self.eye) @ self.axes.T).T
        uv = np.stack([right, -up], -1) / (self.slope * np.maximum(forward, _NEAR))[:, None]
        return ((uv + 1) * self.pixels - 1) / 2, forward


@dataclass(frozen=True)
class Hits:
    """H pixels that meet a surface: `pixel [H]` (row-major), `distance [H]` from the eye, `points`, `normals [H, 3]`.

    Normals are those of the surface, turned towards the eye; None where the surface is a cloud without any.
    """

    pixel: np.ndarray
    distance: np.ndarray
    points: np.ndarray
    normals: np.ndarray | None


def trace_mesh(mesh: Mesh, pose: Pose) -> Hits:
    """First hits by Embree where `embreex` is installed, else by `draw_mesh`: the same pixels but for rounding."""
    if find_spec("embreex") is None:
        return draw_mesh(mesh, pose)
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene, rays = EmbreeScene(), pose.rays()
    TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
    start = np.broadcast_to(pose.eye.astype(np.float32), rays.shape).copy()
    found = scene.run(start, rays.astype(np.float32), output=1)
    pixel = np.flatnonzero(found["primID"] >= 0)
    return _on_faces(mesh, pose, rays, pixel, found["primID"][pixel])


def draw_mesh(mesh: Mesh, pose: Pose) -> Hits:
    """First hits by a z-buffer: every triangle is tried at the pixels of its bounding rectangle.

    A pixel is inside where the three edge functions of the projected triangle agree in sign; 1 / z is linear there.
    """
    xy, z = pose.project(mesh.vertices.astype(np.float64))
    corner, depth = xy[mesh.faces], z[mesh.faces]
    low = np.clip(np.ceil(corner.min(1)), 0, pose.pixels).astype(np.int64)
    high = np.clip(np.floor(corner.max(1)), -1, pose.pixels - 1).astype(np.int64)
    extent = np.maximum(high - low + 1, 0) * (depth.min(1) > _NEAR)[:, None]
    tried = np.cumsum(extent.prod(1))
    nearest = np.zeros(pose.pixels**2)  # the largest 1 / z
    owner = np.full(pose.pixels**2, -1)
    first = 0
    while first < len(tried):
        done = tried[first - 1] if first else 0
        last = max(int(np.searchsorted(tried, done + _CANDIDATES, side="right")), first + 1)
        face, x, y = _rectangles(low[first:last], extent[first:last])
        inverse = _inverse_depth(corner[first + face], 1 / depth[first + face], x, y)
        keep = np.flatnonzero(inverse > 0)
        pixel = y[keep] * pose.pixels + x[keep]
        order = np.argsort(inverse[keep], kind="stable")  # of equal pixels the last, nearest assignment stays
        face, inverse, pixel = first + face[keep][order], inverse[keep][order], pixel[order]
        best = inverse >= nearest[pixel]
        nearest[pixel[best]], owner[pixel[best]] = inverse[best], face[best]
        first = last
    pixel = np.flatnonzero(owner >= 0)
    return _on_faces(mesh, pose, pose.rays(), pixel, owner[pixel])


def towards(normals: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """The normals, turned against the directions `sight` in which they are seen."""
    return np.where((normals * sight).sum(1, keepdims=True) > 0, -normals, normals)


def _on_faces(mesh: Mesh, pose: Pose, rays: np.ndarray, pixel: np.ndarray, face: np.ndarray) -> Hits:
    """Where the rays of `pixel` meet the planes of `face`, in float64."""
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces[face]], 1, 0)
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    ray = rays[pixel]
    slant = (normal * ray).sum(1)
    met = np.abs(slant) > _EDGE_ON
    pixel, ray, normal = pixel[met], ray[met], normal[met]
    distance = ((a[met] - pose.eye) * normal).sum(1) / slant[met]
    return Hits(pixel, distance, pose.eye + distance[:, None] * ray, towards(normal, ray))


def _rectangles(low: np.ndarray, extent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pixel of every rectangle: index of the rectangle, x, y."""
    count = extent.prod(1)
    face = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    width = extent[face, 0]
    return face, low[face, 0] + within % width, low[face, 1] + within // width


def _inverse_depth(corner: np.ndarray, inverse: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 / z of the plane through projected corners `[N, 3, 2]` at pixels (x, y); 0 outside the triangle."""
    offset = corner - np.stack([x, y], -1)[:, None]
    # Twice the signed areas of the triangles that the pixel makes with the edges opposite to corners 0, 1, 2.
    following, preceding = np.roll(offset, -1, 1), np.roll(offset, -2, 1)
    area = following[..., 0] * preceding[..., 1] - following[..., 1] * preceding[..., 0]
    total = area.sum(1)
    inside = ((area >= 0).all(1) | (area <= 0).all(1)) & (total != 0)
    return np.where(inside, (area * inverse).sum(1) / np.where(inside, total, 1), 0.0)
