"""Pictures of meshes: what they show in closed form, and distances of sets that damage makes grow."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.meshes.shading import shaded, shading_scores
from scigen.io.shape import Mesh
from tests.domains.shapes.bodies import ball, box


def test_a_ball_looks_alike_from_everywhere_and_as_bright_as_a_ball() -> None:
    """Mean of 1/4 + 3/4 cos theta over a disk: 1/4 + 3/4 2/3 = 3/4; the disk fills pi/4 (0.5 / 0.52)^2 of a picture."""
    pictures = shaded(ball(7.0, (100.0, 0.0, 0.0), rings=40))
    assert pictures.shape == (6, 576) and pictures.min() == 0 and 0.97 < pictures.max() <= 1
    assert pictures.mean(1) == pytest.approx(np.full(6, 0.75 * np.pi / 4 * (0.5 / 0.52) ** 2), rel=0.01)


def test_neither_winding_nor_place_nor_size_is_seen(numpy_rng: np.random.Generator) -> None:
    mesh = box((0.5, 0.3, 0.2))
    other = Mesh((3 * mesh.vertices + 5).astype(np.float32), mesh.faces[:, ::-1])
    assert np.abs(shaded(mesh) - shaded(other)).max() < 0.15 and np.abs(shaded(mesh) - shaded(other)).mean() < 1e-3
    assert np.abs(shaded(mesh) - shaded(box((0.2, 0.3, 0.5)))).mean() > 0.02, "turned, it is another"


def boxes(rng: np.random.Generator, n: int) -> list[Mesh]:
    return [box(rng.uniform(0.2, 0.5, 3)) for _ in range(n)]


def test_equal_sets_are_no_way_apart_and_damage_grows(numpy_rng: np.random.Generator) -> None:
    meshes, others = boxes(numpy_rng, 12), boxes(numpy_rng, 12)
    looks = [shaded(m) for m in meshes]

    def apart(found: list[np.ndarray]) -> tuple[float, float]:
        first, second = shading_scores(looks, found, 0)
        assert (first.name, second.name) == ("shading_distance", "1nna_shading")
        assert first.value is not None and second.value is not None
        return first.value, second.value

    assert apart(looks) == (pytest.approx(0, abs=1e-6), 0.0)
    same = apart([shaded(m) for m in others])
    damaged = []
    for missing in (2, 6):  # of twelve triangles
        damaged.append(apart([shaded(Mesh(m.vertices, m.faces[missing:])) for m in others]))
    assert 0 < same[0] < damaged[0][0] < damaged[1][0]
    assert damaged[1][1] > max(0.8, same[1])
    assert 0 < shading_scores(looks, looks, 0)[0].data < damaged[1][0], "halves of the reference stand beside"


def test_a_single_mesh_has_no_law() -> None:
    looks = [shaded(box())]
    assert [score.value for score in shading_scores(looks, looks, 0)] == [None, None]
    assert "two meshes" in shading_scores(looks, looks, 0)[0].note
