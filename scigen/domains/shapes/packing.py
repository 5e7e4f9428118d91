"""From a corpus to packed shapes: read once, drop copies, keep what fails in a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scigen.domains.shapes.corpora.corpus import Corpus
from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.identity import copies, fingerprint, shape_rng
from scigen.domains.shapes.likeness import near_copies
from scigen.domains.shapes.pack import PackedShapes
from scigen.domains.shapes.resample import resample
from scigen.domains.shapes.sets import SPLITS
from scigen.domains.shapes.surface import sample_surface
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError, ResourceError
from scigen.io.shape import Cloud, Mesh

__all__ = ["Packing", "pack_shapes"]

_FULL = 127  # length of an int8 normal


@dataclass(frozen=True)
class Packing:
    """The packed shapes, the ids that failed with their reasons, and what was left out, counted by `split/category`:
    exact copies, and near copies of shapes in another split.
    """

    shapes: PackedShapes
    failed: dict[str, str]
    dropped: dict[str, int]
    near: dict[str, int]


def pack_shapes(corpus: Corpus, points: int, seed: int = 0, tell: Callable[[int], None] = lambda done: None) -> Packing:
    """`points` surface points of every mesh, and of every cloud as many as it has up to that number.

    Shape k draws from `shape_rng(seed, id)`, so it is the same in every packing that holds it. Exact copies are dropped
    as `copies` says, near ones across splits as `near_copies` says. `tell` hears the number of shapes done. Raises
    `InputError` when no shape can be read.
    """
    table = _empty(len(corpus), points)
    keys, failed = [b""] * len(corpus), {}
    for k in range(len(corpus)):
        name = str(corpus.ids[k])
        try:
            cloud, frame, keys[k] = _drawn(corpus.source(k), points, shape_rng(seed, name))
        except (InputError, ResourceError, ValueError) as error:
            failed[name] = str(error)
        else:
            _enter(table, k, cloud, frame)
        tell(k + 1)
    rows = np.flatnonzero(table["size"])
    if not len(rows):
        name, reason = next(iter(failed.items()))
        raise InputError(f"None of {len(corpus)} shapes of '{corpus.name}' can be read; the first, {name}: {reason}")
    twice = copies([keys[k] for k in rows], corpus.split[rows], within=not corpus.published)
    dropped = dict(Counter(corpus.dropped) + _counted(corpus, rows[twice]))
    rows = rows[~twice]
    near = near_copies(lambda i: table["points"][rows[i], : table["size"][rows[i]]], corpus.split[rows])
    return Packing(_chosen(corpus, table, rows[~near]), failed, dropped, dict(_counted(corpus, rows[near])))


def _counted(corpus: Corpus, rows: np.ndarray) -> Counter[str]:
    return Counter(f"{SPLITS[corpus.split[k]]}/{corpus.categories[corpus.category[k]]}" for k in rows)


def _empty(count: int, points: int) -> dict[str, np.ndarray]:
    """The arrays of `PackedShapes` that drawing fills."""
    return {
        "points": np.zeros((count, points, 3), np.float16),
        "normals": np.zeros((count, points, 3), np.int8),
        "size": np.zeros(count, np.int32),
        "center": np.zeros((count, 3)),
        "scale": np.zeros(count),
    }


def _enter(table: dict[str, np.ndarray], k: int, cloud: Cloud, frame: Frame) -> None:
    table["points"][k, : len(cloud)] = cloud.points
    if cloud.normals is not None:
        table["normals"][k, : len(cloud)] = np.rint(_FULL * cloud.normals)
    table["size"][k], table["center"][k], table["scale"][k] = len(cloud), frame.center, frame.scale


def _chosen(corpus: Corpus, table: dict[str, np.ndarray], rows: np.ndarray) -> PackedShapes:
    """The packed shapes at `rows`, as wide as the widest of them, without normals where none has any."""
    whole = len(rows) == len(corpus)  # the usual case, and no copy of a gigabyte
    kept = {name: array if whole else array[rows] for name, array in table.items()}
    widest = int(kept["size"].max())
    named = (corpus.name, corpus.licence, corpus.categories, corpus.ids[rows], corpus.category[rows])
    points, normals = kept["points"][:, :widest], kept["normals"][:, :widest] if kept["normals"].any() else None
    return PackedShapes(*named, corpus.split[rows], points, normals, kept["size"], kept["center"], kept["scale"])


def _drawn(raw: Mesh | Cloud, points: int, rng: np.random.Generator) -> tuple[Cloud, Frame, bytes]:
    """The points to keep, their frame, and the key of the geometry they come from."""
    shape, frame = unit_shape(raw)
    if isinstance(shape, Mesh) and isinstance(raw, Mesh):
        return sample_surface(shape, points, rng)[0], frame, fingerprint(raw.vertices, raw.faces)
    assert isinstance(shape, Cloud) and isinstance(raw, Cloud)
    return resample(shape, min(points, len(shape)), rng), frame, fingerprint(raw.points)
