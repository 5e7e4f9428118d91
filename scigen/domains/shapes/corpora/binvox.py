"""Binvox files: one solid on a cubic grid, run-length coded (Patrick Min, binvox)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.errors import InputError
from scigen.io.lines import input_size

__all__ = ["read_binvox"]

_LARGEST = 1024  # voxels along an axis, binvox's own limit
_HEAD = 1000  # bytes within which `data` must come


def read_binvox(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Occupancy `[R, R, R]` bool with axes x, y, z, `translate [3]` and `scale`: x_world = translate + scale i / R.

    The file lists runs (value, length) with y fastest, then z, then x. Raises `InputError` for anything but a whole
    file of version 1 with a cubic grid.
    """
    input_size(path)
    data = path.read_bytes()
    end = data.find(b"data\n", 0, _HEAD)
    if not data.startswith(b"#binvox 1") or end < 0:
        raise InputError(f"`{path}` is not a binvox file of version 1.")
    try:
        head = {words[0]: words[1:] for words in map(bytes.split, data[:end].splitlines()) if words}
        size = [int(word) for word in head[b"dim"]]
        translate = np.array([float(word) for word in head.get(b"translate", (0, 0, 0))])
        scale = float(head.get(b"scale", (1,))[0])
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"`{path}`: the header cannot be read ({error}).") from error
    if len(size) != 3 or len(set(size)) != 1 or not 0 < size[0] <= _LARGEST:
        raise InputError(f"`{path}`: a grid of {size}; a cube of 1 to {_LARGEST} voxels is needed.")
    if translate.shape != (3,) or not np.isfinite([*translate, scale]).all() or scale <= 0:
        raise InputError(f"`{path}`: translate {translate.tolist()} and scale {scale:g} place nothing.")
    runs = np.frombuffer(data, np.uint8, offset=end + len(b"data\n"))
    value, length = runs[: len(runs) // 2 * 2].reshape(-1, 2).T
    if len(runs) % 2 or (value > 1).any() or int(length.sum(dtype=np.int64)) != size[0] ** 3:
        raise InputError(f"`{path}`: its runs do not fill a grid of {size[0]}^3 with 0 and 1; fetch it again.")
    return np.repeat(value, length).reshape(size).transpose(0, 2, 1).astype(bool), translate, scale
