"""The shapes that a run trains on: packed collections, or a folder of one's own, without validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.pack import PackedShapes, load_shapes, shapes_path
from scigen.errors import InputError

__all__ = ["Pool", "shape_sets"]

_PACKED = 4096  # points of a shape from a folder: what training a codec takes


@dataclass(frozen=True)
class Pool:
    """The training shapes of some collections: where each is, its class, and the names of the classes among them.

    `content` identifies the collections.
    """

    rows: tuple[tuple[PackedShapes, int], ...]
    category: np.ndarray  # [M] into `categories`
    categories: tuple[str, ...]
    content: str

    @classmethod
    def of(cls, sets: Sequence[PackedShapes], least: int) -> Pool:
        """Shapes of `least` points or more. Raises `InputError` when there are none."""
        rows = tuple((s, int(k)) for s in sets for k in s.where("train") if s.size[k] >= least)
        if not rows:
            held = ", ".join(f"'{s.name}' with {len(s.where('train'))} of {len(s)} shapes to train on" for s in sets)
            raise InputError(f"No training shape has the {least} points that are needed ({held}).")
        names = [s.categories[s.category[k]] for s, k in rows]
        known = tuple(sorted(set(names)))
        content = hashlib.sha256("".join(s.content_hash() for s in sets).encode()).hexdigest()
        return cls(rows, np.array([known.index(name) for name in names]), known, content)

    def __len__(self) -> int:
        return len(self.rows)

    def stream(self, i: int, draw: int, seed: int) -> np.random.Generator:
        """The generator of a draw of shape i, whatever else is in the pool; the first of an id drew its points."""
        shapes, k = self.rows[i]
        return shape_rng(seed, str(shapes.ids[k]), 1 + draw)


def shape_sets(sources: Sequence[str | Path], say: Callable[[str], None]) -> list[PackedShapes]:
    """Collections by name in the cache, as packed files, or as folders of meshes and clouds, packed on the way.

    `say` hears how many files of a folder could not be read. Raises `InputError` when there is nothing to use.
    """
    return [_folder(Path(s), say) if _is_folder(s) else load_shapes(s) for s in sources]


def _is_folder(source: str | Path) -> bool:
    # A name in the cache goes before a folder of that name that happens to lie here.
    return Path(source).is_dir() and not (isinstance(source, str) and shapes_path(source).is_file())


def _folder(source: Path, say: Callable[[str], None]) -> PackedShapes:
    from scigen.domains.shapes.corpora.files import load_folder
    from scigen.domains.shapes.packing import pack_shapes

    packing = pack_shapes(load_folder(source), _PACKED)
    if packing.failed:
        name, reason = next(iter(packing.failed.items()))
        say(f"{len(packing.failed)} files of '{source}' cannot be read and are left out (the first, {name}: {reason}).")
    return packing.shapes
