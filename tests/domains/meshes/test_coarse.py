"""Coarse versions: closed, in the place of their mesh, as coarse as they say."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.meshes.coarse import coarse_version, decimated, voxelised
from scigen.metrics.mesh import examine
from scigen.metrics.mesh_pairs import volume_overlap
from tests.domains.shapes.bodies import ball, box


@pytest.mark.parametrize("size", [8, 24])
def test_voxels_hold_the_volume_in_its_place(size: int, numpy_rng: np.random.Generator) -> None:
    mesh = box((2.0, 1.0, 0.5), (30.0, 0.0, -7.0))
    coarse = voxelised(mesh, size, numpy_rng)
    a = examine(coarse.vertices, coarse.faces)
    assert a.watertight and a.oriented and a.volume > 0 and a.components == 1
    found = volume_overlap((mesh.vertices, mesh.faces), (coarse.vertices, coarse.faces)).iou
    assert found > (0.6 if size == 8 else 0.8)
    voxel = 4.0 / size
    assert np.abs(coarse.vertices.max(0) - mesh.vertices.max(0)).max() < voxel


def test_a_wall_thinner_than_a_voxel_leaves_something(numpy_rng: np.random.Generator) -> None:
    thin = box((0.5, 0.5, 0.002), (0.0, 0.0, 0.01))
    coarse = voxelised(thin, 16, numpy_rng)
    a = examine(coarse.vertices, coarse.faces)
    assert a.watertight and a.volume > 0


def test_decimation_collapses_edges_and_moves_little() -> None:
    mesh = ball(3.0, (5.0, 0.0, 0.0), rings=16)
    light = decimated(mesh, 0.03)
    assert light is not None and len(light.faces) < 0.5 * len(mesh.faces)
    a = examine(light.vertices, light.faces)
    assert a.watertight and a.volume > 0.75 * 4 / 3 * np.pi * 27
    assert decimated(box((0.5, 0.5, 1e-9)), 0.06) is None, "nothing with a volume is left of a sheet"


def test_every_kind_is_drawn_and_closed() -> None:
    mesh, counts = ball(0.5, rings=12), set()
    for seed in range(12):
        coarse = coarse_version(mesh, np.random.default_rng(seed))
        a = examine(coarse.vertices, coarse.faces)
        assert a.watertight and a.volume > 0.3
        counts.add(len(coarse.faces))
    assert len(counts) >= 3


def test_one_voxel_is_refused(numpy_rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="2 voxels or more"):
        voxelised(box(), 1, numpy_rng)
