"""What a completion must beat without learning: the scan and its mirror image, and the training pair most like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scigen.domains.points.complete import Draw
from scigen.domains.points.latents import observation
from scigen.domains.points.process import Scale
from scigen.io.shape import Cloud
from scigen.state import State

__all__ = ["flat", "mirrored", "nearest_scans", "recalled"]

_TOGETHER = 2048  # scans compared at once


def mirrored(partial: Cloud, plane: float = 0.0) -> Cloud:
    """The cloud `[N, 3]` and its image `[2 N, 3]` in the plane x = `plane`: most objects face +z, and have two sides.

    A partial cloud does not tell the plane: a baseline that is given the true one (0 in the whole shape's frame) knows
    more than a completion does.
    """
    turn = np.array([-1, 1, 1], partial.points.dtype)
    image = partial.points * turn + np.array([2 * plane, 0, 0], partial.points.dtype)
    points = np.concatenate([partial.points, image])
    if partial.normals is None:
        return Cloud(points)
    return Cloud(points, np.concatenate([partial.normals, partial.normals * turn.astype(partial.normals.dtype)]))


def recalled(pairs: State, scale: Scale) -> Draw:
    """Retrieval in the place of a network: draw k is the whole of the k-th most similar scan among training `pairs`.

    `pairs` are what a bridge is trained on (`encode_scans`): whole shapes in the frame of their scans, and the scans as
    `given`. So it is shown what the bridge is shown, and `complete` ranks its answers like a bridge's. With fewer pairs
    than draws the nearest ones come again.
    """
    known = flat(scale.enter(observation(pairs)))

    def draw(partial: State, rngs: Sequence[torch.Generator]) -> State:
        near = nearest_scans(flat(scale.enter(partial))[0].cpu(), known, len(rngs)).repeat(len(rngs))[: len(rngs)]
        found = {name: pairs[name][near].to(partial[name]) for name in ("pos", "feat")}
        return State(found, pairs.mask[near].to(partial.mask.device))

    return draw


def flat(x: State) -> Tensor:
    """Tokens `[M, K, 3 + F]` between which a squared distance is the mean square over `pos` plus that over `feat`."""
    return torch.cat([x[name] / x[name].shape[-1] ** 0.5 for name in ("pos", "feat")], -1)


def nearest_scans(query: Tensor, known: Tensor, count: int) -> Tensor:
    """Rows of `known [M, K, D]` most like `query [K, D]`, best first, `[min(count, M)]`; no token may be padding.

    Distance: the Chamfer distance of two sets of tokens, mean_i min_j |a_i - b_j|^2 + mean_j min_i |a_i - b_j|^2.
    """
    parts = []
    for theirs in known.split(_TOGETHER):
        cross = (theirs.flatten(0, 1) @ query.T).unflatten(0, theirs.shape[:2])
        d = theirs.square().sum(-1)[..., None] + query.square().sum(-1) - 2 * cross  # [m, K, K]
        parts.append(d.amin(1).mean(1) + d.amin(2).mean(1))
    return torch.cat(parts).topk(min(count, len(known)), largest=False).indices
