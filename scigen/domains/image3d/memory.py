"""A small set of rendered views that the package carries: shapes that stand for the others, rounded to pack well.

Retrieval, and the neighbours of the network over views, look in it where no larger set has been prepared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scigen.domains.image3d.viewset import ViewSet, unpack_depth
from scigen.errors import InputError

__all__ = ["memory_of", "representatives", "rounded"]

_FOLD = 3  # pixels a side averaged for comparing shapes
_NORMAL, _PICTURE = 4, 17  # what stored numbers are rounded to multiples of
_STEEPEST = 127 // _NORMAL * _NORMAL


def memory_of(views: ViewSet, per_category: int) -> ViewSet:
    """At most `per_category` training shapes of every class, rounded, under the name `<name>-memory`.

    A class's shapes are `representatives` of all its training shapes: the distance of two is the mean difference of
    their depths over the views, in diameters, with the far side of the sphere where nothing is seen. Raises InputError
    for a set without training shapes.
    """
    train = views.where("train")
    if not len(train):
        raise InputError(f"'{views.name}' has no training shapes to remember; prepare more.")
    of_class = [train[views.category[train] == c] for c in range(len(views.categories))]
    kept = [own[representatives(_distances(views, own), per_category)] for own in of_class if len(own)]
    return rounded(_subset(views, np.concatenate(kept), f"{views.name}-memory"))


def representatives(distance: np.ndarray, count: int) -> np.ndarray:
    """Rows that stand for all: one after another the one that most lessens the sum of distances to the nearest.

    `distance [M, M]`; ascending positions, `min(count, M)` of them. The greedy choice of medoids: it saves at least
    1 - 1/e of what the best choice would (Nemhauser, Wolsey and Fisher 1978).
    """
    nearest, chosen = np.full(len(distance), np.inf), list[int]()
    for _ in range(min(count, len(distance))):
        sums = np.minimum(nearest, distance).sum(1)
        sums[chosen] = np.inf
        chosen.append(int(sums.argmin()))
        nearest = np.minimum(nearest, distance[chosen[-1]])
    return np.sort(np.array(chosen, np.int64))


def rounded(views: ViewSet) -> ViewSet:
    """The same set in fewer digits, a quarter smaller once compressed: normals in steps of 1/32, pictures in 16 greys.

    Depth and outlines stay: carving believes the foremost view, so errors of depth do not cancel but thin the mesh.
    """
    rgba = views.picture.astype(np.float32)
    rgba[..., :3] = rgba[..., :3].mean(-1, keepdims=True)
    normal = np.clip(np.rint(views.normal / _NORMAL) * _NORMAL, -_STEEPEST, _STEEPEST).astype(np.int8)
    return replace(views, normal=normal, picture=(np.rint(rgba / _PICTURE) * _PICTURE).astype(np.uint8))


def _subset(views: ViewSet, rows: np.ndarray, name: str) -> ViewSet:
    own = ("ids", "category", "split", "normal", "depth", "picture", "azimuth", "elevation")
    return replace(views, name=name, **{field: getattr(views, field)[rows] for field in own})


def _distances(views: ViewSet, rows: np.ndarray) -> np.ndarray:
    """`[M, M]` between the shapes of `rows`."""
    from scipy.spatial.distance import cdist

    mask, depth = unpack_depth(views.depth[rows], views.rig)
    far = np.where(mask > 0, depth, np.float32(views.rig.radius + 0.5))
    n = far.shape[-1] // _FOLD * _FOLD
    coarse = far[..., :n, :n].reshape(*far.shape[:2], n // _FOLD, _FOLD, n // _FOLD, _FOLD).mean((3, 5))
    flat = coarse.reshape(len(rows), -1)
    return cdist(flat, flat, "cityblock") / flat.shape[1]
