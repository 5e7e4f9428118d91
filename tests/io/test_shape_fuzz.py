"""Broken files of points and triangles: InputError or a sound shape; no other exception, no hang, nothing empty."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from scigen.errors import InputError
from scigen.io.recognise import read_shape
from scigen.io.shape import Cloud, Mesh
from tests.io import shape_seeds
from tests.io.seeds import mutants

SEEDS = shape_seeds.CLOUDS | shape_seeds.MESHES
# Without a count, text that ends between two lines is whole as far as anybody can tell.
ENDLESS = ("named.xyz", "mesh.obj")
SLOWEST = 5.0  # seconds for one file


def replace(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # overwriting in place makes some file systems flush each time
    path.write_bytes(data)


def read_broken(path: Path) -> Cloud | Mesh | None:
    start = time.perf_counter()
    try:
        shape = read_shape(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return None
    finally:
        assert time.perf_counter() - start < SLOWEST
    points = shape.points if isinstance(shape, Cloud) else shape.vertices
    assert len(points) and points.shape[1:] == (3,) and points.dtype == np.float64 and np.isfinite(points).all()
    if isinstance(shape, Mesh):
        assert len(shape.faces) and 0 <= shape.faces.min() and shape.faces.max() < len(points)
        assert shape.part is None or len(shape.part) == len(shape.faces)
    elif shape.normals is not None:
        assert shape.normals.shape == points.shape
        assert np.allclose(np.linalg.norm(shape.normals, axis=1), 1, atol=2e-3)
    return shape


def size(shape: Cloud | Mesh) -> tuple[int, ...]:
    return (len(shape),) if isinstance(shape, Cloud) else (len(shape.vertices), len(shape.faces))


def fuzz(folder: Path, name: str, count: int) -> None:
    path, good = folder / name, 0
    for mutant in mutants(SEEDS[name], count, seed=17):
        replace(path, mutant)
        good += read_broken(path) is not None
    assert 0 < good < count  # the reader is neither deaf nor blind


@pytest.mark.parametrize("name", SEEDS)
def test_every_truncation(tmp_path: Path, name: str) -> None:
    path, data = tmp_path / name, SEEDS[name]
    replace(path, data)
    whole = size(read_shape(path))
    for cut in range(len(data)):
        replace(path, data[:cut])
        shape = read_broken(path)
        if shape is not None and name not in ENDLESS:
            assert size(shape) == whole, f"{cut} of {len(data)} bytes read as {size(shape)}"


@pytest.mark.parametrize("name", SEEDS)
def test_broken_shapes(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, 300)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_many_broken_shapes(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, 3_000)
