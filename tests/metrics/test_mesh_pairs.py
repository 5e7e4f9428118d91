"""Volumes in common and normals that agree, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scigen.io.shape import Mesh
from scigen.metrics.chamfer import match
from scigen.metrics.mesh_pairs import indexed_surface, normal_consistency, volume_overlap
from tests.domains.shapes.bodies import ball, box, joined


def overlap(a: Mesh, b: Mesh, columns: int = 128):
    return volume_overlap((a.vertices, a.faces), (b.vertices, b.faces), columns)


@pytest.mark.parametrize("shift", [(0.5, 0, 0), (0.5, 0.25, 0.1), (0.9, 0.9, 0.9), (0, 0, 0), (1.5, 0, 0)])
def test_two_boxes(shift: tuple[float, float, float]) -> None:
    both = float(np.prod([max(0.0, 1 - s) for s in shift]))
    found = overlap(box(), box(center=shift))
    assert found.a == pytest.approx(1, abs=1e-3) and found.b == pytest.approx(1, abs=1e-3)
    assert found.both == pytest.approx(both, abs=1e-3)
    assert found.iou == pytest.approx(both / (2 - both), abs=1e-3)


def test_two_spheres_share_a_lens() -> None:
    """V = pi (4 r + d) (2 r - d)^2 / 12 for radius r at distance d."""
    r, d = 0.5, 0.4
    fine = [ball(r, center, rings=60) for center in ((0, 0, 0), (0, d, 0))]
    lens = math.pi * (4 * r + d) * (2 * r - d) ** 2 / 12
    found = overlap(*fine)
    assert found.both == pytest.approx(lens, rel=5e-3)
    assert found.iou == pytest.approx(lens / (8 * math.pi * r**3 / 3 - lens), rel=5e-3)


def test_one_in_the_other_and_apart() -> None:
    assert overlap(box(), box((0.25, 0.25, 0.25))).iou == pytest.approx(1 / 8, abs=1e-3)
    assert overlap(ball(), ball(center=(0, 3, 0))).iou == 0


def test_winding_does_not_matter_and_pieces_may_overlap() -> None:
    shifted = box(center=(0.5, 0, 0))
    inverted = Mesh(box().vertices, box().faces[:, ::-1])
    assert overlap(inverted, shifted).iou == pytest.approx(1 / 3, abs=1e-3)
    twin = joined(box(), shifted)  # a union of volume 1.5
    assert overlap(twin, box()).a == pytest.approx(1.5, abs=2e-3)
    assert overlap(twin, box()).iou == pytest.approx(2 / 3, abs=1e-3)


def test_a_void_is_outside() -> None:
    void = box((0.25, 0.25, 0.25))
    hollow = joined(box(), Mesh(void.vertices, void.faces[:, ::-1]))
    assert overlap(hollow, void).both == pytest.approx(0, abs=1e-9)
    assert overlap(hollow, box()).iou == pytest.approx(7 / 8, abs=1e-3)


def test_errors_fall_with_the_columns_and_scale_out() -> None:
    exact = 0.5 * 0.75 * 0.9
    a, b = box(), box(center=(0.5, 0.25, 0.1))
    errors = [abs(overlap(a, b, columns).both - exact) for columns in (8, 256)]
    assert errors[1] < errors[0] / 20
    grown = [Mesh(1e3 * m.vertices + 1e5, m.faces) for m in (a, b)]
    assert overlap(*grown).iou == pytest.approx(overlap(a, b).iou, rel=1e-3)


def test_an_open_mesh_loses_the_columns_through_its_hole() -> None:
    open_box = Mesh(box().vertices, box().faces[2:])
    assert overlap(open_box, box()).a < 0.9


def test_refused_columns() -> None:
    with pytest.raises(ValueError, match="0 columns"):
        overlap(box(), box(), 0)


def sphere(rng: np.random.Generator, n: int):
    x = rng.standard_normal((n, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, x


def test_normals_agree_on_one_surface_and_not_on_another(numpy_rng: np.random.Generator) -> None:
    a, n = indexed_surface(*sphere(numpy_rng, 2000))
    b, m = indexed_surface(*sphere(numpy_rng, 3000))
    assert np.allclose(a.points, n)  # the normals moved with the points
    # Nearest points of 3000 lie an angle t apart with E t^2 = 4 / n; 1 - cos t is half of that.
    expected = 1 - (2 / 2000 + 2 / 3000) / 2
    assert normal_consistency(match(a, b), n, m) == pytest.approx(expected, abs=2e-4)
    assert normal_consistency(match(a, b), -n, m) == normal_consistency(match(a, b), n, m)
    lost = numpy_rng.permutation(m)
    assert normal_consistency(match(a, b), n, lost) == pytest.approx(0.5, abs=0.03)  # E |cos| of random directions
