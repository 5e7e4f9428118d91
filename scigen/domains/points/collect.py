"""Anybody's shapes as clouds of equal size: a folder of files, one NPZ of many clouds, or a single file.

Meshes are sampled area-uniformly, larger clouds thinned at random; every shape draws from its own generator, so what it
gives depends on the seed, its name and whether it stands as generated or as reference, and on no other shape.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scigen.domains.shapes.surface import sample_surface, surface_area
from scigen.errors import InputError
from scigen.io.npz import read_npz
from scigen.io.recognise import read_shape
from scigen.io.shape import Cloud, Mesh
from scigen.io.sound import sound_cloud

__all__ = ["SUFFIXES", "Collection", "Item", "collect", "files_in", "fingerprint"]

SUFFIXES = (".ply", ".pcd", ".stl", ".obj", ".glb", ".gltf", ".npy", ".npz", ".xyz", ".pts", ".asc", ".txt")
_PART = "the array `points` must be [M, N, 3] numbers, got "


@dataclass(frozen=True)
class Item:
    """A shape by its `id` (the file's stem), its points `[n, 3]` in its own units, and its area if it was a mesh."""

    id: str
    points: np.ndarray
    area: float | None


@dataclass(frozen=True)
class Collection:
    """What was read from `path`: the clouds in the order of their names, and a row for each record that is none."""

    path: Path
    items: tuple[Item, ...]
    errors: tuple[dict[str, Any], ...]

    @property
    def records(self) -> int:
        """Clouds and refused records together."""
        return len(self.items) + len(self.errors)


def collect(path: Path, n: int, role: int, seed: int, exact: bool = True) -> Collection:
    """Clouds of n points each from `path`; `role` keeps the draws of one file as generated, reference, input apart.

    Without `exact` smaller clouds stay as they are; with it they are errors, for scores fall with the number of points.
    Raises `InputError` when not one cloud can be used.
    """
    items, errors = [], []
    for name, source, shape in _shapes(path):
        reason = shape if isinstance(shape, str) else None
        if not isinstance(shape, str):
            try:
                rng = np.random.default_rng([seed, role, zlib.crc32(name.encode())])
                items.append(_item(name, shape, n, rng, exact))
            except ValueError as error:
                reason = str(error)
        if reason is not None:
            errors.append({"file": source, "record": name, "reason": reason})
    if not items:
        first = f" (the first: {errors[0]['reason']})" if errors else ""
        raise InputError(f"`{path}`: none of {len(errors)} records is a usable cloud{first}; check the files.")
    return Collection(path, tuple(items), tuple(errors))


def fingerprint(items: Sequence[Item]) -> str:
    """SHA-256 over names and float32 points, 16 digits: two reports with one fingerprint used the same clouds."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.id.encode() + b"\0" + np.ascontiguousarray(item.points, "<f4").tobytes())
    return digest.hexdigest()[:16]


def files_in(folder: Path, suffixes: Sequence[str], what: str) -> Iterator[tuple[Path, str | None]]:
    """The folder's files of these suffixes by name, each with the reason not to use it where another has its stem.

    Raises `InputError` when there are none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    if not files:
        raise InputError(f"`{folder}` holds no {what} file; the suffixes read are {', '.join(suffixes)}.")
    held = Counter(file.stem for file in files)
    yield from ((file, "another file has the same name" if held[file.stem] > 1 else None) for file in files)


def _shapes(path: Path) -> Iterator[tuple[str, str, Cloud | Mesh | str]]:
    """Name, file and shape of every record, or in place of the shape why there is none."""
    if path.is_dir():
        for file, twice in files_in(path, SUFFIXES, "shape"):
            yield file.stem, str(file), twice or _read(file)
    elif path.suffix.lower() == ".npz" and (many := _many(path)) is not None:
        yield from many
    else:
        yield path.stem, str(path), read_shape(path)


def _read(file: Path) -> Cloud | Mesh | str:
    try:
        return read_shape(file)
    except InputError as error:
        return str(error)


def _many(path: Path) -> Iterator[tuple[str, str, Cloud | str]] | None:
    arrays = read_npz(path, allow_nan=True)
    points = arrays.get("points")
    if points is None or points.ndim != 3:
        return None
    if points.shape[2] != 3 or points.dtype.kind not in "iuf":
        raise InputError(f"`{path}`: {_PART}{points.dtype} {list(points.shape)}.")
    names = [str(x) for x in arrays["ids"].ravel()] if "ids" in arrays else [str(k) for k in range(len(points))]
    if len(names) != len(points) or len(set(names)) != len(names):
        got = f"{len(set(names))} names"
        raise InputError(f"`{path}`: `ids` must name each of the {len(points)} clouds once, got {got}.")
    return ((name, str(path), _sound(cloud)) for name, cloud in zip(names, points))


def _sound(points: np.ndarray) -> Cloud | str:
    try:
        return sound_cloud(points)
    except ValueError as error:
        return str(error)


def _item(name: str, shape: Cloud | Mesh, n: int, rng: np.random.Generator, exact: bool) -> Item:
    if isinstance(shape, Mesh):
        return Item(name, _distinct(sample_surface(shape, n, rng)[0].points), surface_area(shape))
    if exact and len(shape) < n:
        raise ValueError(f"it holds {len(shape)} points and {n} are compared; lower `--points`")
    rows = slice(None) if len(shape) <= n else rng.permutation(len(shape))[:n]
    return Item(name, _distinct(shape.points[rows]), None)


def _distinct(points: np.ndarray) -> np.ndarray:
    held = len(np.unique(points, axis=0))
    if 2 * held <= len(points) or held < 2:
        raise ValueError(f"only {held} of its {len(points)} points are distinct; copies of points are no sampling")
    return np.asarray(points, np.float64)
