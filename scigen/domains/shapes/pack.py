"""Packed shapes: points and normals of a whole collection in one file, small enough to stay in memory.

One file per collection (`<cache>/points/<name>.npz`), float16 points (steps of 1/4096 of the diameter at the rim) and
int8 normals, uncompressed, so that it opens as fast as the disk reads.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from scigen.cache import cache_dir
from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.resample import resample
from scigen.domains.shapes.sets import SPLITS
from scigen.errors import InputError
from scigen.io.npz import read_npz, write_npz
from scigen.io.shape import Cloud

__all__ = ["PackedShapes", "load_shapes", "save_shapes", "shapes_path"]


@dataclass(frozen=True)
class PackedShapes:
    """A `ShapeSet` of M shapes of up to P points each, in the unit frame; it has no meshes."""

    name: str
    licence: str
    categories: tuple[str, ...]
    ids: np.ndarray  # [M] str
    category: np.ndarray  # [M] int32, into `categories`
    split: np.ndarray  # [M] uint8, into SPLITS
    points: np.ndarray  # [M, P, 3] float16
    normals: np.ndarray | None  # [M, P, 3] int8; (0, 0, 0) where one shape has none, None where all have none
    size: np.ndarray  # [M] int32: the points of shape k are the first size[k]
    center: np.ndarray  # [M, 3] float64, the frame back to the source's units
    scale: np.ndarray  # [M] float64

    def __len__(self) -> int:
        return len(self.ids)

    def mesh(self, k: int) -> None:
        """None: only points are packed."""

    def cloud(self, k: int, n: int, rng: np.random.Generator) -> Cloud:
        """`n` of shape k's points, float32, without replacement while they last (`resample`)."""
        return resample(self.full(k), n, rng)

    def full(self, k: int) -> Cloud:
        """All of shape k's points, float32, with unit normals where they are known."""
        points = self.points[k, : self.size[k]].astype(np.float32)
        if self.normals is None or not self.normals[k].any():
            return Cloud(points)
        normals = self.normals[k, : self.size[k]].astype(np.float32)
        return Cloud(points, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1))

    def frame(self, k: int) -> Frame:
        """The frame of shape k, back to the units and place of its source."""
        return Frame(self.center[k], float(self.scale[k]))

    def where(self, split: str, category: str | None = None) -> np.ndarray:
        """Positions of the shapes of one split, and of one category if told, ascending."""
        if split not in SPLITS:
            raise InputError(f"Unknown split '{split}'; choose one of {', '.join(SPLITS)}.")
        if category is not None and category not in self.categories:
            raise InputError(f"'{self.name}' has no category '{category}'; choose one of {', '.join(self.categories)}.")
        rows = self.split == SPLITS.index(split)
        return np.flatnonzero(rows if category is None else rows & (self.category == self.categories.index(category)))

    def subset(self, rows: np.ndarray) -> PackedShapes:
        """The shapes at `rows`, in that order."""
        return replace(self, **{name: array[rows] for name, array in _arrays(self).items()})

    def content_hash(self) -> str:
        """SHA-256 over names and arrays in field order: the identity of the data, whatever the file around it."""
        digest = hashlib.sha256("\n".join([self.name, self.licence, *self.categories]).encode())
        for name, array in _arrays(self).items():
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def shapes_path(name: str) -> Path:
    """Where `scigen data prepare points NAME` leaves a collection: `<cache>/points/<name>.npz`."""
    return cache_dir() / "points" / f"{name}.npz"


def save_shapes(path: Path, shapes: PackedShapes) -> None:
    """Write a collection atomically. Raises ResourceError."""
    words = {"name": np.array(shapes.name), "licence": np.array(shapes.licence), "categories": shapes.categories}
    write_npz(path, {key: np.array(word) for key, word in words.items()} | _arrays(shapes), compress=False)


def load_shapes(source: str | Path) -> PackedShapes:
    """A packed collection, by its name in the cache or by its path.

    Raises `InputError` when there is none, or it is not one.
    """
    path = shapes_path(source) if isinstance(source, str) and not source.endswith(".npz") else Path(source)
    if not path.is_file():
        raise InputError(f"No packed shapes at '{path}'; make them with `scigen data prepare points {path.stem}`.")
    try:
        arrays: dict[str, Any] = {"normals": None} | read_npz(path)
        arrays |= {"name": str(arrays["name"]), "licence": str(arrays["licence"])}
        arrays["categories"] = tuple(arrays["categories"].tolist())
        shapes = PackedShapes(**{field.name: arrays[field.name] for field in fields(PackedShapes)})
    except KeyError as error:
        raise InputError(_refusal(path, f"the array {error} is missing")) from None
    except (InputError, TypeError) as error:
        raise InputError(_refusal(path, str(error).rstrip("."))) from None
    if not _fits(shapes):
        raise InputError(_refusal(path, "its arrays do not fit together"))
    return shapes


def _arrays(shapes: PackedShapes) -> dict[str, np.ndarray]:
    """The arrays with one row per shape, in field order; no `normals` where there are none."""
    arrays = {field.name: getattr(shapes, field.name) for field in fields(shapes)[3:]}
    return {name: array for name, array in arrays.items() if array is not None}


def _refusal(path: Path, why: str) -> str:
    return f"'{path}' does not hold packed shapes ({why}); rebuild it with `scigen data prepare points`."


def _fits(s: PackedShapes) -> bool:
    """Every row has its shape, its category and its split, and every cloud lies within its row."""
    if s.points.ndim != 3 or s.points.shape[2] != 3 or any(len(array) != len(s) for array in _arrays(s).values()):
        return False
    if s.normals is not None and (s.normals.shape != s.points.shape or s.normals.dtype != np.int8):
        return False
    if s.center.shape != (len(s), 3) or any(array.ndim != 1 for array in (s.ids, s.category, s.split, s.size, s.scale)):
        return False
    inside = (s.size > 0) & (s.size <= s.points.shape[1]) & (s.split < len(SPLITS)) & (s.scale > 0)
    return bool((inside & (s.category >= 0) & (s.category < len(s.categories))).all())
