"""Normals for clouds that have none: planes through neighbours, turned one way along a spanning tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from scigen.io.shape import Cloud

__all__ = ["oriented"]


def oriented(cloud: Cloud, k: int = 8) -> Cloud:
    """The cloud with outward unit normals, in place of any it has.

    A normal is the direction in which a point's `k` nearest neighbours spread least. Signs travel along the minimum
    spanning tree of the neighbour graph, whose cost

        1 - |n_i . n_j| + max(|n_i . e|, |n_j . e|),   e = (x_j - x_i) / |x_j - x_i|

    turns corners late (Hoppe et al. 1992, "Surface reconstruction from unorganized points") and leaps from sheet to
    sheet of a thin wall last. Each piece of the graph is then turned so that it encloses a positive volume, sum of
    d^2 n . x with d the distance to the k-th neighbour. The signs are a guess where sheets lie closer together than
    neighbours, and wrong for the wall of a void. Raises `ValueError` unless there are more than `k` >= 3 points.
    """
    from scipy.spatial import cKDTree

    if not 3 <= k < len(cloud):
        raise ValueError(f"{len(cloud)} points and planes through {k} neighbours; give more points than k, and k >= 3.")
    x = np.asarray(cloud.points, np.float64)
    x = x - x.mean(0)
    distance, near = cKDTree(x).query(x, k + 1)
    spread = x[near] - x[near].mean(1, keepdims=True)
    normals = np.linalg.eigh(np.einsum("nki,nkj->nij", spread, spread))[1][:, :, 0]
    normals *= _agreeing_signs(x, normals, near[:, 1:], distance[:, -1] ** 2)[:, None]
    return Cloud(cloud.points, normals.astype(np.float32))


def _agreeing_signs(x: np.ndarray, normals: np.ndarray, near: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Signs `[N]` that agree along the spanning tree, each of its pieces turned outwards."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

    n, k = near.shape
    row, column = np.repeat(np.arange(n), k), near.ravel()
    step = x[column] - x[row]
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-300)
    leap = np.maximum(np.abs((normals[row] * step).sum(1)), np.abs((normals[column] * step).sum(1)))
    # Never 0: a sparse graph takes that for no edge.
    cost = 1 + 1e-6 - np.abs((normals[row] * normals[column]).sum(1)) + leap
    tree: Any = minimum_spanning_tree(coo_array((cost, (row, column)), shape=(n, n)).tocsr())
    pieces = connected_components(tree, directed=False)[1]
    sign = np.ones(n)
    for start in np.unique(pieces, return_index=True)[1]:
        order, before = breadth_first_order(tree, start, directed=False)
        turns = np.where((normals[order[1:]] * normals[before[order[1:]]]).sum(1) < 0, -1.0, 1.0)
        for at, turn in zip(order[1:].tolist(), turns.tolist()):
            sign[at] = turn * sign[before[at]]
        middle = x[order].mean(0)
        if (area[order] * sign[order] * (normals[order] * (x[order] - middle)).sum(1)).sum() < 0:
            sign[order] *= -1
    return sign
