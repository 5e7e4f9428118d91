"""A pinhole or parallel camera, and the first surface of a mesh that each of its pixels meets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from scigen.io.shape import Mesh

__all__ = ["Hits", "Pose", "draw_mesh", "towards", "trace_all", "trace_mesh"]

_EDGE_ON = 1e-6  # cosine below which a face is seen from its edge and hides nothing
_NEAR = 1e-3  # a triangle that reaches the plane of the eye is not drawn
_CANDIDATES = 2_000_000  # pairs of pixel and triangle in memory at a time


@dataclass(frozen=True)
class Pose:
    """An eye `[3]`, the rows right, up, forward of `axes [3, 3]`, and a square picture of `pixels`^2 whose half width
    is `slope` at distance 1. A pixel (row, column) looks along forward + slope (u right - v up), u, v in (-1, 1).

    A `parallel` camera looks along forward everywhere, from eye + slope (u right - v up).
    """

    eye: np.ndarray
    axes: np.ndarray
    pixels: int
    slope: float
    parallel: bool = False

    def rays(self) -> np.ndarray:
        """Unit directions through the centres of the pixels, `[pixels^2, 3]`, row by row from the upper left."""
        if self.parallel:
            return np.broadcast_to(self.axes[2], (self.pixels**2, 3))
        along = self._across() @ self.axes[:2] + self.axes[2]
        return along / np.linalg.norm(along, axis=1, keepdims=True)

    def starts(self) -> np.ndarray:
        """Where those rays begin, `[pixels^2, 3]`."""
        across = self._across() @ self.axes[:2] if self.parallel else np.zeros((self.pixels**2, 3))
        return self.eye + across

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column and row as real numbers `[N, 2]` (a pixel's centre at its index) and the distance forward `[N]`."""
        right, up, forward = ((points - self.eye) @ self.axes.T).T
        width = self.slope if self.parallel else (self.slope * np.maximum(forward, _NEAR))[:, None]
        return ((np.stack([right, -up], -1) / width + 1) * self.pixels - 1) / 2, forward

    def nearness(self, forward: np.ndarray) -> np.ndarray:
        """What is linear over the picture of a plane and greater where it is nearer: 1 / z, or -z if parallel."""
        return -forward if self.parallel else 1 / forward

    def _across(self) -> np.ndarray:
        """Steps to the right and up from the middle of the picture to each pixel, `[pixels^2, 2]`."""
        u = self.slope * ((2 * np.arange(self.pixels) + 1) / self.pixels - 1)
        right, down = np.meshgrid(u, u)
        return np.stack([right, -down], -1).reshape(-1, 2)


@dataclass(frozen=True)
class Hits:
    """H pixels that meet a surface: `pixel [H]` (row-major), `distance [H]` from the eye, `points`, `normals [H, 3]`.

    Normals are those of the surface, turned towards the eye; None where the surface is a cloud without any. `face [H]`
    is the triangle that was met, None for clouds. Distances of a parallel camera count from its plane.
    """

    pixel: np.ndarray
    distance: np.ndarray
    points: np.ndarray
    normals: np.ndarray | None
    face: np.ndarray | None = None


def trace_mesh(mesh: Mesh, pose: Pose) -> Hits:
    """First hits by Embree where `embreex` is installed, else by `draw_mesh`: the same pixels but for rounding."""
    return trace_all(mesh, [pose])[0]


def trace_all(mesh: Mesh, poses: Sequence[Pose]) -> list[Hits]:
    """`trace_mesh` for every pose; the tree of the mesh is built once."""
    if find_spec("embreex") is None:
        return [draw_mesh(mesh, pose) for pose in poses]
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene, hits = EmbreeScene(), []
    TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
    for pose in poses:
        face = scene.run(pose.starts().astype(np.float32), pose.rays().astype(np.float32), output=1)["primID"]
        pixel = np.flatnonzero(face >= 0)
        hits.append(_on_faces(mesh, pose, pixel, face[pixel]))
    return hits


def draw_mesh(mesh: Mesh, pose: Pose) -> Hits:
    """First hits by a z-buffer: every triangle is tried at the pixels of its bounding rectangle.

    A pixel is inside where the three edge functions of the projected triangle agree in sign; nearness is linear there.
    """
    xy, z = pose.project(mesh.vertices.astype(np.float64))
    corner, depth = xy[mesh.faces], z[mesh.faces]
    low = np.clip(np.ceil(corner.min(1)), 0, pose.pixels).astype(np.int64)
    high = np.clip(np.floor(corner.max(1)), -1, pose.pixels - 1).astype(np.int64)
    extent = np.maximum(high - low + 1, 0) * (depth.min(1) > _NEAR)[:, None]
    tried = np.cumsum(extent.prod(1))
    nearest = np.full(pose.pixels**2, -np.inf)
    owner = np.full(pose.pixels**2, -1)
    first = 0
    while first < len(tried):
        done = tried[first - 1] if first else 0
        last = max(int(np.searchsorted(tried, done + _CANDIDATES, side="right")), first + 1)
        face, x, y = _rectangles(low[first:last], extent[first:last])
        near = _nearness(corner[first + face], pose.nearness(depth[first + face]), x, y)
        keep = np.flatnonzero(near > -np.inf)
        pixel = y[keep] * pose.pixels + x[keep]
        order = np.argsort(near[keep], kind="stable")  # of equal pixels the last, nearest assignment stays
        face, near, pixel = first + face[keep][order], near[keep][order], pixel[order]
        best = near >= nearest[pixel]
        nearest[pixel[best]], owner[pixel[best]] = near[best], face[best]
        first = last
    pixel = np.flatnonzero(owner >= 0)
    return _on_faces(mesh, pose, pixel, owner[pixel])


def towards(normals: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """The normals, turned against the directions `sight` in which they are seen."""
    return np.where((normals * sight).sum(1, keepdims=True) > 0, -normals, normals)


def _on_faces(mesh: Mesh, pose: Pose, pixel: np.ndarray, face: np.ndarray) -> Hits:
    """Where the rays of `pixel` meet the planes of `face`, in float64."""
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces[face]], 1, 0)
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    start, ray = pose.starts()[pixel], pose.rays()[pixel]
    slant = (normal * ray).sum(1)
    met = np.abs(slant) > _EDGE_ON
    pixel, face, start, ray, normal = pixel[met], face[met], start[met], ray[met], normal[met]
    distance = ((a[met] - start) * normal).sum(1) / slant[met]
    return Hits(pixel, distance, start + distance[:, None] * ray, towards(normal, ray), face)


def _rectangles(low: np.ndarray, extent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pixel of every rectangle: index of the rectangle, x, y."""
    count = extent.prod(1)
    face = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    width = extent[face, 0]
    return face, low[face, 0] + within % width, low[face, 1] + within // width


def _nearness(corner: np.ndarray, near: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`near [N, 3]` of projected corners `[N, 3, 2]` at pixels (x, y); -inf outside the triangle."""
    offset = corner - np.stack([x, y], -1)[:, None]
    # Twice the signed areas of the triangles that the pixel makes with the edges opposite to corners 0, 1, 2.
    following, preceding = np.roll(offset, -1, 1), np.roll(offset, -2, 1)
    area = following[..., 0] * preceding[..., 1] - following[..., 1] * preceding[..., 0]
    total = area.sum(1)
    inside = ((area >= 0).all(1) | (area <= 0).all(1)) & (total != 0)
    return np.where(inside, (area * near).sum(1) / np.where(inside, total, 1), -np.inf)
