"""Anybody's meshes from a folder or a file, each with an even sample of its surface."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scigen.domains.points.collect import Collection, Item, files_in
from scigen.domains.shapes.surface import sample_surface, surface_area
from scigen.errors import InputError
from scigen.io.meshes import read_mesh
from scigen.io.shape import Cloud, Mesh

__all__ = ["SUFFIXES", "MeshCollection", "Surface", "collect_meshes"]

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".npz")


@dataclass(frozen=True)
class Surface:
    """A mesh by its `id` (the file's stem), and n of its points with normals, all in the file's own units."""

    id: str
    mesh: Mesh
    cloud: Cloud
    area: float

    @property
    def item(self) -> Item:
        """The sampled points, as the scores of clouds take them."""
        return Item(self.id, np.asarray(self.cloud.points, np.float64), self.area)


@dataclass(frozen=True)
class MeshCollection:
    """What was read from `path`: the surfaces in the order of their names, and a row for each file that has none."""

    path: Path
    surfaces: tuple[Surface, ...]
    errors: tuple[dict[str, Any], ...]

    @property
    def clouds(self) -> Collection:
        """The same as points alone."""
        return Collection(self.path, tuple(surface.item for surface in self.surfaces), self.errors)


def collect_meshes(path: Path, n: int, role: int, seed: int) -> MeshCollection:
    """The meshes of a folder, or of one file, with `n` area-uniform points of each.

    A surface draws from its own generator: its points depend on the seed, its name and `role` (generated, reference,
    training) and on no other shape. A file that cannot be read, has no faces or no area becomes a row of `errors`.
    Raises `InputError` when not one mesh can be used.
    """
    surfaces, errors = [], []
    for file, reason in files_in(path, SUFFIXES, "mesh") if path.is_dir() else [(path, None)]:
        try:
            if reason is not None:
                raise ValueError(reason)
            rng = np.random.default_rng([seed, role, zlib.crc32(file.stem.encode())])
            mesh = read_mesh(file)
            cloud, _ = sample_surface(mesh, n, rng)
            surfaces.append(Surface(file.stem, mesh, cloud, surface_area(mesh)))
        except (InputError, ValueError) as error:
            errors.append({"file": str(file), "record": file.stem, "reason": str(error)})
    if not surfaces:
        raise InputError(f"`{path}`: none of {len(errors)} files is a usable mesh (the first: {errors[0]['reason']}).")
    return MeshCollection(path, tuple(surfaces), tuple(errors))
