"""Voxels to surfaces: closed, wound outwards, in their place, thin parts kept."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.shapes.solid import Solids, solid_mesh
from tests.domains.shapes.bodies import is_closed, volume


def ball_voxels(size: int = 32, radius: float = 12.0) -> np.ndarray:
    x = np.arange(size) + 0.5 - size / 2
    return (x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2) < radius**2


def test_a_ball_of_voxels_has_the_surface_of_a_ball() -> None:
    mesh = solid_mesh(ball_voxels())
    distance = np.linalg.norm(mesh.vertices - 16, axis=1)
    # The level is below one half, so the surface lies a little outside: by 0.27 voxels on a flat side.
    assert 12 < distance.mean() < 12.5 and distance.std() < 0.3
    assert volume(mesh) == pytest.approx(4 / 3 * np.pi * distance.mean() ** 3, rel=0.01)
    assert is_closed(mesh)


def test_a_solid_at_the_border_of_its_grid_is_closed() -> None:
    mesh = solid_mesh(np.ones((4, 5, 6), bool))
    assert is_closed(mesh)
    np.testing.assert_allclose((mesh.vertices.min(0) + mesh.vertices.max(0)) / 2, [2, 2.5, 3], atol=1e-5)
    assert volume(mesh) > 4 * 5 * 6 * 0.95


def test_a_wire_of_one_voxel_survives_and_would_not_without_the_floor() -> None:
    wire = np.zeros((16, 16, 16), bool)
    wire[2:14, 8, 8] = True
    mesh = solid_mesh(wire)
    assert np.ptp(mesh.vertices[:, 0]) > 11 and is_closed(mesh)
    np.testing.assert_allclose(mesh.vertices[:, 1:].mean(0), 8.5, atol=1e-3)
    with pytest.raises(ValueError):
        solid_mesh(wire, thin=0.0, blur=1.2)


def test_axes_are_x_y_z_and_bits_in_order() -> None:
    voxels = np.zeros((8, 8, 8), bool)
    voxels[1:7, 3, 4:6] = True
    solids = Solids(np.packbits(voxels)[None], 8)
    assert np.array_equal(solids.voxels(0), voxels) and len(solids) == 1
    extent = np.ptp(solids.mesh(0).vertices, axis=0)
    assert extent[0] > extent[2] > extent[1]


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="no occupied voxel"):
        solid_mesh(np.zeros((4, 4, 4), bool))
