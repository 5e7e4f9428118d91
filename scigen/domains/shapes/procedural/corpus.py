"""Generated shapes as a set: each is built when it is asked for, from the seed, its family and its number alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from scigen.domains.shapes.identity import hash_split
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.family import Family, build
from scigen.domains.shapes.procedural.parameters import draw
from scigen.domains.shapes.surface import sample_surface
from scigen.io.shape import Cloud, Mesh

__all__ = ["ProceduralSet"]

_KEPT = 16  # meshes at hand, for those who ask for a mesh and then its points


class ProceduralSet:
    """`per_family` objects of each family, as a `ShapeSet`.

    Object `i` of a family draws its parameters from the stream of (seed, number of the family, i), its id is
    `chair-000123` and its split the hash of the id: neither more objects nor fewer families change it.
    """

    name = "procedural"
    licence = "CC0-1.0 (generated)"

    def __init__(self, per_family: int, seed: int = 0, families: Sequence[Family] = FAMILIES) -> None:
        """Raises `ValueError` for a count below one, for a negative seed and for families named twice or unknown."""
        if per_family < 1 or seed < 0:
            raise ValueError(
                f"{per_family} shapes a family from seed {seed}; give one or more, and a seed of 0 or more."
            )
        names = [family.name for family in families]
        if len(set(names)) < len(names) or not names or not set(families) <= set(FAMILIES):
            raise ValueError(f"families {names}; give each of some of {', '.join(f.name for f in FAMILIES)} once.")
        self.seed, self.families, self._per_family = seed, tuple(families), per_family
        self.categories = tuple(names)
        self.category = np.repeat(np.arange(len(names)), per_family)
        self.ids = np.array([f"{name}-{i:06d}" for name in names for i in range(per_family)])
        self.split = hash_split(self.ids)
        self._mesh = lru_cache(_KEPT)(self._build)

    def __len__(self) -> int:
        return len(self.ids)

    def family(self, k: int) -> Family:
        """The family of shape `k`; a face's part is an index into its `parts`."""
        return self.families[self.category[k]]

    def parameters(self, k: int) -> Any:
        """What shape `k` is built from."""
        family = self.family(k)
        stream = [self.seed, FAMILIES.index(family), k % self._per_family]
        return draw(family.parameters, np.random.default_rng(stream))

    def mesh(self, k: int) -> Mesh:
        """Shape `k`, closed, in the unit frame, with a part for each face."""
        return self._mesh(range(len(self))[k])

    def cloud(self, k: int, n: int, rng: np.random.Generator) -> Cloud:
        """`n` area-uniform points with outward normals."""
        return sample_surface(self.mesh(k), n, rng)[0]

    def labelled(self, k: int, n: int, rng: np.random.Generator) -> tuple[Cloud, np.ndarray]:
        """The points of `cloud` and the part of each, `[n]` int16."""
        mesh = self.mesh(k)
        cloud, face = sample_surface(mesh, n, rng)
        assert mesh.part is not None
        return cloud, mesh.part[face]

    def _build(self, k: int) -> Mesh:
        return build(self.family(k), self.parameters(k))
