"""Exactly `n` points out of a cloud."""

from __future__ import annotations

import numpy as np

from scigen.io.shape import Cloud

__all__ = ["resample"]


def resample(cloud: Cloud, n: int, rng: np.random.Generator) -> Cloud:
    """`n` points with their normals, drawn without replacement while they last.

    More points than there are come in whole rounds: every point `n // N` times, and a random rest once more. Raises
    `ValueError` for a negative `n` and for points out of an empty cloud.
    """
    if n < 0 or (n and not len(cloud)):
        raise ValueError(f"{n} points asked of a cloud of {len(cloud)}; ask for zero or more, of one that has some.")
    if n <= len(cloud):
        rows = rng.choice(len(cloud), n, replace=False)
    else:
        rounds, rest = divmod(n, len(cloud))
        rows = np.concatenate([np.tile(np.arange(len(cloud)), rounds), rng.choice(len(cloud), rest, replace=False)])
    return Cloud(cloud.points[rows], None if cloud.normals is None else cloud.normals[rows])
