"""OFF files: the polygons of ModelNet (Geomview's object file format)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.errors import InputError
from scigen.io.lines import read_lines
from scigen.io.shape import Mesh
from scigen.io.sound import fan, sound_mesh

__all__ = ["read_off"]


def read_off(path: Path) -> Mesh:
    """The mesh of a text OFF file, polygons as fans; colours are passed by.

    ModelNet's `OFF8 12 0`, without a line break after the mark, is read too. Raises `InputError`.
    """
    lines = (line.split("#", 1)[0].strip() for line in read_lines(path))
    rows = [line for line in lines if line]
    if not rows or not rows[0].startswith("OFF"):
        raise InputError(f"`{path}` is not an OFF file; its first line must be `OFF`.")
    rows[0] = rows[0][3:].strip()
    rows = rows if rows[0] else rows[1:]
    try:
        vertices, faces, *_ = (int(word) for word in rows[0].split())
        if vertices < 0 or faces < 0 or len(rows) < 1 + vertices + faces:
            raise ValueError(f"{vertices} vertices and {faces} faces are declared, and {len(rows) - 1} lines follow")
        points = np.array([row.split()[:3] for row in rows[1 : 1 + vertices]], dtype=np.float64)
        polygons = [row.split() for row in rows[1 + vertices : 1 + vertices + faces]]
        counts = np.array([int(words[0]) for words in polygons], dtype=np.int64)
        corners = [words[1 : 1 + count] for words, count in zip(polygons, counts.tolist())]
        if any(len(words) != count for words, count in zip(corners, counts.tolist())):
            raise ValueError("a face has fewer corners than it declares")
        flat = np.array([word for words in corners for word in words], dtype=np.int64)
        return sound_mesh(points.reshape(-1, 3), fan(flat, counts, vertices))
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(f"`{path}` is not a readable OFF file: {error}.") from error
