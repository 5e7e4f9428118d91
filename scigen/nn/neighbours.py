"""Nearest neighbours and farthest points of batched, padded clouds, differentiable in the coordinates.

The search finds indices without a gradient; what is returned is gathered from them, so that

    d |q - p_j| / dq = (q - p_j) / |q - p_j|   (0 where q = p_j)

costs no matrix of distances. On a CPU large clouds are searched with k-d trees, elsewhere in blocks of bounded memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["farthest", "gather", "knn"]

_BLOCK = 1 << 24  # distances held at once
_TREE = 1 << 16  # pairs in one cloud above which building a tree pays


def knn(query: Tensor, points: Tensor, k: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k nearest of `points [B, P, 3]` to each of `query [B, Q, 3]`: distance and index `[B, Q, k]`, nearest first.

    `mask [B, P]` is true on real points; rows of padded queries mean nothing. Distances are differentiable in both
    clouds. Among equally near points the order is open. Raises `ValueError` when a cloud has fewer than k points, or,
    on a CPU, a large one has coordinates that are not finite.
    """
    if not 1 <= k <= _fewest(points, mask):
        raise ValueError(f"`k` must lie in [1, {_fewest(points, mask)}], the smallest cloud's size, got {k}.")
    on_cpu = query.device.type == "cpu"
    with torch.no_grad():
        search = _trees if on_cpu and query.shape[1] * points.shape[1] >= _TREE else _blocks
        index = search(query, points, k, mask)
    # vector_norm, unlike a square root, has gradient 0 at 0: a point may be its own neighbour.
    return torch.linalg.vector_norm(query[:, :, None] - gather(points, index), dim=-1), index


def farthest(points: Tensor, k: int, mask: Tensor | None = None, start: Tensor | None = None) -> Tensor:
    """Index `[B, k]` of k points, each the farthest of `points [B, P, 3]` from those before it.

    i_1 = start,  i_{n+1} = argmax_j min_{m <= n} |p_j - p_{i_m}|. `start [B]` is by default the point nearest to the
    centroid, so the order does not depend on how the points are listed (ties apart). `mask [B, P]` is true on real
    points. Raises `ValueError` when a cloud has fewer than k. Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5.
    """
    if not 1 <= k <= _fewest(points, mask):
        raise ValueError(f"`k` must lie in [1, {_fewest(points, mask)}], the smallest cloud's size, got {k}.")
    points = points.detach()
    real = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device) if mask is None else mask
    axes = points.unbind(-1)  # sums over a last axis of three are slow
    near = torch.full_like(axes[0], torch.inf).masked_fill(~real, -torch.inf)
    last = _central(points, real) if start is None else start
    chosen = [last]
    for _ in range(k - 1):
        dx, dy, dz = (x - x.gather(1, last[:, None]) for x in axes)
        near = torch.minimum(near, dx * dx + dy * dy + dz * dz)
        # A chosen point never comes again, not even where points coincide.
        near = near.scatter(1, last[:, None], -torch.inf)
        last = near.argmax(1)
        chosen.append(last)
    return torch.stack(chosen, 1)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Rows `index [B, ...]` of `values [B, P, F]`, each from its own cloud: `[B, ..., F]`, differentiable."""
    flat = index.flatten(1)
    return values.gather(1, flat[..., None].expand(-1, -1, values.shape[-1])).reshape(*index.shape, values.shape[-1])


def _fewest(points: Tensor, mask: Tensor | None) -> int:
    return points.shape[1] if mask is None else int(mask.sum(1).min())


def _central(points: Tensor, real: Tensor) -> Tensor:
    weight = real[..., None].to(points.dtype)
    middle = (points * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return (points - middle).square().sum(-1).masked_fill(~real, torch.inf).argmin(1)


def _trees(query: Tensor, points: Tensor, k: int, mask: Tensor | None) -> Tensor:
    from scipy.spatial import cKDTree

    out = torch.empty(*query.shape[:2], k, dtype=torch.long)
    for b, (q, p) in enumerate(zip(query.detach().double(), points.detach().double())):
        kept = None if mask is None else mask[b].nonzero()[:, 0]
        tree = cKDTree((p if kept is None else p[kept]).numpy(), leafsize=32)
        found = torch.from_numpy(tree.query(q.numpy(), k)[1]).reshape(-1, k)
        out[b] = found if kept is None else kept[found]
    return out


def _blocks(query: Tensor, points: Tensor, k: int, mask: Tensor | None) -> Tensor:
    rows = max(1, _BLOCK // max(1, points.shape[0] * points.shape[1]))
    if not query.dtype.itemsize >= 4:
        query, points = query.float(), points.float()
    parts = []
    for q in query.split(rows, dim=1):
        # The expanded form |q|^2 - 2 q.p + |p|^2 cancels for close points and would swap neighbours.
        distance = torch.cdist(q, points, compute_mode="donot_use_mm_for_euclid_dist")
        if mask is not None:
            distance = distance.masked_fill(~mask[:, None], torch.inf)
        parts.append(distance.topk(k, largest=False).indices)
    return torch.cat(parts, 1)
