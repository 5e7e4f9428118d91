"""Views with depth to a closed mesh: every view carves away what lies in front of what it saw.

For a node p of a grid let x_v be the point seen at its pixel in view v, n_v the normal there, and s_v the signed
distance to the outline, positive off the object. View v holds that p is outside by

    F_v(p) = max(clip((p - x_v) . n_v, -tau, tau), s_v - slack)

and the field is the k-th greatest of the F_v: with k = 1 one view suffices to carve, as true views allow; imagined ones
contradict each other, and k = 2 asks for a second opinion. Far off the outline one view suffices always. Planes through
pixels hold between their centres, where depth alone is a step; without normals they face the camera. The slack of an
outline, and the foremost of pixels that disagree, leave the place of an edge to a view that sees it from the front, so
that what is thinner than a pixel stays.
Volumetric fusion after Curless and Levoy 1996; outlines as in Kutulakos and Seitz 2000, "A theory of shape by space
carving".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scigen.domains.image3d.views import Views
from scigen.domains.meshes.surface import extract
from scigen.domains.shapes.rays import Pose
from scigen.errors import NumericError
from scigen.io.shape import Mesh
from scigen.nn.poisson import HALF

__all__ = ["Carving", "carve", "carved_field", "grid_nodes", "hull_field", "zero_level"]

_TRACE = 0.03  # a pixel covered less is empty, and one covered but for less is full
_BAND = 2.0  # coarse cells on either side of the zero level that are looked at closely


@dataclass(frozen=True)
class Carving:
    """How to carve: nodes along a side of the grid, views that must agree, and when one alone is believed.

    `tau` bounds what depth says, in diameters; `slack`, in pixels, is what an outline may err by; `sure` the distance
    off it, in pixels, from which a single view carves whatever `votes` asks; `blur` smooths the field, in nodes. Raises
    ValueError for an odd `size`.
    """

    size: int = 96
    votes: int = 1
    tau: float = 0.05
    sure: float = 2.0
    slack: float = 0.5
    blur: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 2:
            raise ValueError(f"a grid of {self.size} nodes a side; give an even number of 16 or more.")


def carve(views: Views, how: Carving = Carving()) -> Mesh:
    """The closed mesh in the unit frame that the views leave standing.

    Raises ValueError for views without depth and for more votes than views, NumericError when nothing stands.
    """
    return zero_level(carved_field(views, how))


def zero_level(field: np.ndarray) -> Mesh:
    """The closed surface around what is negative in `field`, pieces below 2 % of the largest left out.

    Raises NumericError when nothing is negative and when the surface bounds no solid.
    """
    if not field.min() < 0:
        raise NumericError(
            "the views leave nothing standing: they are empty or contradict each other; ask for more votes."
        )
    return extract(field.astype(np.float64)).mesh


def carved_field(views: Views, how: Carving = Carving()) -> np.ndarray:
    """The field of `carve`, `[size, size, size]` float32, negative inside; nodes as of `scigen.nn.poisson.indicator`.

    Every other node first, then all where the surface may be: a fifth of the work.
    """
    if views.depth is None:
        raise ValueError("carving needs depth, and these views have none; fit a surface to masks and normals instead.")
    if not 1 <= how.votes <= len(views.rig):
        raise ValueError(f"{how.votes} of {len(views.rig)} views must agree; ask for 1 to {len(views.rig)}.")
    sights = [_Sight.of(views, v, pose) for v, pose in enumerate(views.rig.poses(views.pixels, views.seen))]
    half = how.size // 2
    coarse = _votes(sights, grid_nodes(half), how).reshape((half,) * 3)
    field = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    near = np.abs(coarse) < _BAND * 2 * HALF / half
    rows = np.flatnonzero(near.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    field.reshape(-1)[rows] = _votes(sights, grid_nodes(how.size)[rows], how)
    if how.blur:
        from scipy.ndimage import gaussian_filter

        field = gaussian_filter(field, how.blur)
    return field


def hull_field(views: Views, size: int = 64) -> np.ndarray:
    """The visual hull, max over views of the signed distance to the outline, `[size, size, size]` float32.

    About the signed distance to the hull in diameters, exact where one view decides and the camera is parallel.
    """
    nodes, field = grid_nodes(size), np.full(size**3, -np.inf, np.float32)
    for pose, mask in zip(views.rig.poses(views.pixels, views.seen), views.mask):
        xy = pose.project(nodes)[0].astype(np.float32)
        field = np.maximum(field, _pixel_width(pose) * _bilinear(_outline(mask), xy))
    return field.reshape((size,) * 3)


def grid_nodes(size: int) -> np.ndarray:
    """Nodes `[size^3, 3]` float32 at HALF (2 (i, j, k) / size - 1), k fastest."""
    side = (HALF * (2 * np.arange(size) / size - 1)).astype(np.float32)
    return np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)


@dataclass(frozen=True)
class _Sight:
    """One view: the camera, distance to the outline `[N + 2, N + 2]`, and the plane n.x = c seen by each pixel."""

    pose: Pose
    outline: np.ndarray
    normal: np.ndarray  # [N^2, 3]
    offset: np.ndarray  # [N^2]

    @classmethod
    def of(cls, views: Views, v: int, pose: Pose) -> _Sight:
        """Pixels off the object take the plane of the nearest on it: there the outline decides."""
        from scipy.ndimage import distance_transform_edt

        assert views.depth is not None
        ray = pose.rays()
        point = pose.starts() + (views.depth[v].reshape(-1) / (ray @ pose.axes[2]))[:, None] * ray
        normal = -ray if views.normal is None else views.normal[v].reshape(-1, 3) @ views.rig.axes(views.seen)[v]
        seen = views.mask[v] > _TRACE
        if seen.any():
            row, column = distance_transform_edt(~seen, return_distances=False, return_indices=True)
            nearest = (row * views.pixels + column).reshape(-1)
            point, normal = point[nearest], normal[nearest]
        offset = (normal * point).sum(1)
        return cls(pose, _outline(views.mask[v]), normal.astype(np.float32), offset.astype(np.float32))

    def outside(self, nodes: np.ndarray, how: Carving) -> tuple[np.ndarray, np.ndarray]:
        """F_v at the nodes `[P]`, and how far they are beyond where the view alone is believed."""
        xy, pixel = self.pose.project(nodes)[0].astype(np.float32), _pixel_width(self.pose)
        beside = pixel * _bilinear(self.outline, xy)
        ahead = np.clip(self._ahead(nodes, xy, pixel), -how.tau, how.tau)
        return np.maximum(ahead, beside - how.slack * pixel), beside - how.sure * pixel

    def _ahead(self, nodes: np.ndarray, xy: np.ndarray, pixel: float) -> np.ndarray:
        """Distance in front of the planes of the four pixels around: their mean, or the least where they disagree."""
        last = self.pose.pixels - 1
        at = np.clip(xy, 0, last)
        low = np.minimum(at.astype(np.int32), last - 1)
        x, y = (at - low.astype(np.float32)).T
        total, least = np.zeros(len(nodes), np.float32), np.full(len(nodes), np.inf, np.float32)
        most = -least
        for row, column, weight in ((0, 0, (1 - x) * (1 - y)), (0, 1, x * (1 - y)), (1, 0, (1 - x) * y), (1, 1, x * y)):
            k = (low[:, 1] + row) * self.pose.pixels + low[:, 0] + column
            ahead = np.einsum("pc,pc->p", nodes, self.normal[k]) - self.offset[k]
            total += weight * ahead
            np.minimum(least, ahead, out=least)
            np.maximum(most, ahead, out=most)
        return np.where(most - least > pixel, least, total)


def _votes(sights: Sequence[_Sight], nodes: np.ndarray, how: Carving) -> np.ndarray:
    """The field at `nodes [P, 3]`."""
    kept = np.full((how.votes, len(nodes)), -np.inf, np.float32)
    alone = np.full(len(nodes), -np.inf, np.float32)
    for sight in sights:
        opinion, sure = sight.outside(nodes, how)
        alone = np.maximum(alone, sure)
        for k in range(how.votes):  # the greatest so far, in order
            kept[k], opinion = np.maximum(kept[k], opinion), np.minimum(kept[k], opinion)
    return np.maximum(kept[-1], alone)


def _pixel_width(pose: Pose) -> float:
    """Width of a pixel at the object's middle, in diameters."""
    distance = 1.0 if pose.parallel else float(np.linalg.norm(pose.eye))
    return 2 * pose.slope * distance / pose.pixels


def _outline(mask: np.ndarray) -> np.ndarray:
    """Signed distance of each pixel's centre to the outline, in pixels, positive off the object, `[N + 2, N + 2]`.

    A ring of background surrounds the picture. A pixel of which a share c is covered lies 1/2 - c off the outline; an
    empty or full one takes the distance to the nearest that is not, and that one's own.
    """
    from scipy.ndimage import distance_transform_edt

    c = np.pad(mask, 1).astype(np.float64)
    near = 0.5 - c
    if not (c > _TRACE).any():
        return np.full(c.shape, float(len(c)), np.float32)
    away, some = distance_transform_edt(c <= _TRACE, return_indices=True)
    deep, less = distance_transform_edt(c >= 1 - _TRACE, return_indices=True)
    far = np.where(away > 0, near[tuple(some)] + away, near[tuple(less)] - deep)
    return np.where((away > 0) | (deep > 0), far, near).astype(np.float32)


def _bilinear(padded: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Between pixel centres of a picture with a ring around it, at columns and rows `[P, 2]` of the picture within."""
    at = np.clip(xy + 1, 0, len(padded) - 1 - 1e-3)
    column, row = at.astype(np.int32).T
    x, y = (at % 1).T
    upper = padded[row, column] * (1 - x) + padded[row, column + 1] * x
    lower = padded[row + 1, column] * (1 - x) + padded[row + 1, column + 1] * x
    return upper * (1 - y) + lower * y
