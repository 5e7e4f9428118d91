"""One interface to every collection of shapes: generated, read from a folder, or packed in the cache."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from scigen.io.shape import Cloud, Mesh

__all__ = ["SPLITS", "ShapeSet"]

SPLITS = ("train", "val", "test")


class ShapeSet(Protocol):
    """M shapes in the frame of `frame.py`: y up, centred, inside a sphere of diameter 1.

    `mesh` answers None where only points exist; `cloud` draws `n` points from the surface, area-uniform where there is
    one, reproducibly from the generator it is given.
    """

    @property
    def name(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def categories(self) -> tuple[str, ...]: ...
    @property
    def ids(self) -> np.ndarray: ...  # [M], str
    @property
    def category(self) -> np.ndarray: ...  # [M], index into `categories`
    @property
    def split(self) -> np.ndarray: ...  # [M], index into SPLITS

    def __len__(self) -> int: ...
    def mesh(self, k: int) -> Mesh | None: ...
    def cloud(self, k: int, n: int, rng: np.random.Generator) -> Cloud: ...
