"""A collection whose shapes are read or made one at a time, when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.identity import copies, hash_split
from scigen.domains.shapes.resample import resample
from scigen.domains.shapes.sets import SPLITS
from scigen.domains.shapes.surface import sample_surface
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.shape import Cloud, Mesh

__all__ = ["Corpus", "Entry", "corpus_of", "turn_z_up"]


@dataclass(frozen=True)
class Entry:
    """What a list says of one shape; `split` is empty where the list has none, and the id's hash decides."""

    id: str
    category: str
    split: str = ""


@dataclass(frozen=True)
class Corpus:
    """A `ShapeSet` over `source`: shape k in its own units and place, but y up.

    `published` says that the split is a list others use too; `dropped` counts what a loader left out, by
    `split/category`.
    """

    name: str
    licence: str
    categories: tuple[str, ...]
    ids: np.ndarray
    category: np.ndarray
    split: np.ndarray
    source: Callable[[int], Cloud | Mesh]
    published: bool
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def unit(self, k: int) -> tuple[Cloud | Mesh, Frame]:
        """Shape k in the unit frame, and the way back to its own."""
        return unit_shape(self.source(k))

    def mesh(self, k: int) -> Mesh | None:
        """The mesh of shape k, None where only points exist."""
        shape, _ = self.unit(k)
        return shape if isinstance(shape, Mesh) else None

    def cloud(self, k: int, n: int, rng: np.random.Generator) -> Cloud:
        """`n` points of shape k: area-uniform from a mesh, without replacement from a cloud while they last."""
        shape, _ = self.unit(k)
        return sample_surface(shape, n, rng)[0] if isinstance(shape, Mesh) else resample(shape, n, rng)

    def subset(self, rows: np.ndarray) -> Corpus:
        """The shapes at `rows`, in that order."""
        chosen, source = rows.tolist(), self.source
        return replace(
            self,
            ids=self.ids[rows],
            category=self.category[rows],
            split=self.split[rows],
            source=lambda k: source(chosen[k]),
        )

    def without_copies(self, keys: Sequence[bytes]) -> Corpus:
        """Without the shapes that share their geometry's key with one of an earlier split; see `copies`."""
        twice = copies(keys, self.split, within=not self.published)
        where = Counter(f"{SPLITS[self.split[k]]}/{self.categories[self.category[k]]}" for k in np.flatnonzero(twice))
        return replace(self.subset(np.flatnonzero(~twice)), dropped=dict(where))


def corpus_of(name: str, licence: str, entries: Sequence[Entry], source: Callable[[int], Cloud | Mesh]) -> Corpus:
    """A corpus of listed shapes. Raises `InputError` for an empty list, an id that comes twice, an unknown split."""
    ids = np.array([entry.id for entry in entries], dtype=str)
    if not len(ids):
        raise InputError(f"No shapes for '{name}'; check the source and its layout.")
    if len(set(ids.tolist())) < len(ids):
        twice = Counter(ids.tolist()).most_common(1)[0][0]
        raise InputError(f"'{name}' lists the id '{twice}' more than once; ids must differ.")
    stray = {entry.split for entry in entries} - {"", *SPLITS}
    if stray:
        raise InputError(f"'{name}' has the split '{sorted(stray)[0]}'; known are {', '.join(SPLITS)}.")
    categories, category = np.unique([entry.category for entry in entries], return_inverse=True)
    split = hash_split(ids)
    for k, entry in enumerate(entries):
        if entry.split:
            split[k] = SPLITS.index(entry.split)
    published = all(entry.split for entry in entries)
    return Corpus(name, licence, tuple(categories.tolist()), ids, category.astype(np.int32), split, source, published)


def turn_z_up(shape: Cloud | Mesh) -> Cloud | Mesh:
    """A shape whose z is up, with y up: (x, y, z) -> (x, z, -y), a rotation."""

    def turned(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0], x[:, 2], -x[:, 1]], -1)

    if isinstance(shape, Mesh):
        return replace(shape, vertices=turned(shape.vertices))
    return Cloud(turned(shape.points), None if shape.normals is None else turned(shape.normals))
