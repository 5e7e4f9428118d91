"""What an id decides (split, random stream) and what a geometry decides (which shapes are copies)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from scigen.domains.shapes.sets import SPLITS

__all__ = ["copies", "fingerprint", "hash_split", "shape_rng"]

_UP_TO = (0.8, 0.9)  # shares of train, and of train and val
_KEPT_FIRST = ("train", "test", "val")  # of two copies the one in the earlier split stays


def shape_rng(seed: int, shape_id: str, draw: int = 0) -> np.random.Generator:
    """The stream of one draw of one shape: the same whatever else is drawn, in whatever order."""
    return np.random.default_rng([seed, _number(shape_id), draw])


def hash_split(ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """80 / 10 / 10 % by the hash of the id, `[M]` uint8 into `SPLITS`: no shape moves when others come or go."""
    share = np.array([_number(str(i)) / 2**64 for i in ids])
    return np.searchsorted(_UP_TO, share, side="right").astype(np.uint8)


def fingerprint(*arrays: np.ndarray) -> bytes:
    """SHA-256 of arrays, byte for byte: exact copies agree, a copy that was moved or rounded does not."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def copies(keys: Sequence[bytes], split: np.ndarray, within: bool) -> np.ndarray:
    """Rows whose geometry has been seen before, `[M]` bool.

    Across splits a copy leaves `val` for the sake of `test`, and `test` for the sake of `train`, so nothing that is
    trained on is scored. `within` drops copies inside a split too; a published list keeps them, as its users did.
    """
    rank = np.array([_KEPT_FIRST.index(name) for name in SPLITS])[split]
    first: dict[bytes, int] = {}
    dropped = np.zeros(len(keys), bool)
    for row in np.argsort(rank, kind="stable").tolist():
        owner = first.setdefault(keys[row], row)
        dropped[row] = owner != row and (within or rank[owner] != rank[row])
    return dropped


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
