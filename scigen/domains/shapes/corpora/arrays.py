"""Packed source files: the arrays a loader needs, one row per shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.errors import InputError
from scigen.io.npz import read_npz

__all__ = ["read_rows"]


def read_rows(path: Path, names: tuple[str, ...], rows: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """The arrays `names` of an NPZ file; those of `rows` (all, unless told) have one entry per shape.

    Raises `InputError` when one is missing, or two differ in length.
    """
    arrays = read_npz(path)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"`{path}` has no array `{missing[0]}`; it needs {', '.join(names)}.")
    lengths = {name: arrays[name].shape[:1] for name in (names if rows is None else rows)}
    if len(set(lengths.values())) != 1 or () in lengths.values():
        raise InputError(f"`{path}`: its arrays differ in length ({lengths}); pack it again.")
    return arrays
