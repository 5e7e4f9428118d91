"""Pictures of shapes: silhouettes of known area, who hides whom, colours, and the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scigen.domains.shapes.picture import HALF, contact_sheet, shape_picture, view_rotation, write_contact_sheet
from scigen.errors import ResourceError
from scigen.io.shape import Cloud, Mesh

FRONT = np.eye(3)  # from +z: x to the right, y up


def square(z: float, half: float, part: int = 0) -> Mesh:
    corners = np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]], np.float32)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.full(2, part, np.int16))


def joined(a: Mesh, b: Mesh) -> Mesh:
    assert a.part is not None and b.part is not None
    vertices = np.concatenate([a.vertices, b.vertices])
    return Mesh(vertices, np.concatenate([a.faces, b.faces + len(a.vertices)]), np.concatenate([a.part, b.part]))


def drawn(image: np.ndarray) -> np.ndarray:
    return (image < 250).any(-1)


def test_the_view_is_a_rotation_that_keeps_up_up() -> None:
    view = view_rotation(35, 22)
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1)
    assert view[0, 1] == 0 and view[1, 1] > 0 and view[2, 2] > 0
    np.testing.assert_allclose(view_rotation(0, 0), np.eye(3), atol=1e-12)


def test_a_silhouette_has_its_area() -> None:
    image = shape_picture(square(0, 0.26), 200, FRONT)
    assert drawn(image).mean() == pytest.approx((0.26 / HALF) ** 2, abs=0.01)
    rows, columns = drawn(image).nonzero()
    assert abs(rows.mean() - 99.5) < 1 and abs(columns.mean() - 99.5) < 1


def test_right_is_right_and_up_is_up() -> None:
    one = Cloud(np.array([[0.3, 0.4, 0.0]], np.float32))
    rows, columns = drawn(shape_picture(one, 100, FRONT)).nonzero()
    assert rows.mean() == pytest.approx(50 - 0.4 * 50 / HALF, abs=1)
    assert columns.mean() == pytest.approx(50 + 0.3 * 50 / HALF, abs=1)


def test_the_nearer_hides_the_farther() -> None:
    both = joined(square(-0.2, 0.4, 0), square(0.2, 0.2, 1))
    image, far = shape_picture(both, 100, FRONT), shape_picture(square(-0.2, 0.4, 0), 100, FRONT)
    near = shape_picture(square(0.2, 0.2, 1), 100, FRONT)
    np.testing.assert_array_equal(image[50, 50], near[50, 50])
    np.testing.assert_array_equal(image[50, 15], far[50, 15])
    assert (image[50, 50] != image[50, 15]).any()


def test_the_back_of_a_face_is_red() -> None:
    mesh = square(0, 0.3)
    turned = Mesh(mesh.vertices, mesh.faces[:, ::-1], mesh.part)
    red, green, blue = (shape_picture(turned, 40, FRONT)[20, 20]).astype(int)
    assert red > 1.5 * max(green, blue)


def test_large_meshes_are_drawn_in_batches_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = joined(square(-0.2, 0.4, 0), square(0.2, 0.2, 1))
    whole = shape_picture(mesh, 60)
    monkeypatch.setattr("scigen.domains.shapes.picture.PAIRS", 100)
    np.testing.assert_array_equal(shape_picture(mesh, 60), whole)


@pytest.mark.parametrize(
    "shape",
    [
        Cloud(np.zeros((0, 3), np.float32)),
        Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)),
        Mesh(np.ones((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)),
    ],
)
def test_nothing_is_white(shape: Cloud | Mesh) -> None:
    assert (shape_picture(shape, 30) == 255).all()


def test_shapes_outside_the_window_are_cut() -> None:
    rng = np.random.default_rng(0)
    cloud = Cloud((rng.normal(size=(200, 3)) * 3).astype(np.float32))
    assert shape_picture(cloud, 40).shape == (40, 40, 3)
    assert drawn(shape_picture(square(0, 5.0), 40, FRONT)).all()


def test_normals_light_a_cloud() -> None:
    points = np.zeros((1, 3), np.float32)
    lit, dim = (Cloud(points, np.array([n], np.float32)) for n in ([-0.45, 0.62, 0.65], [1.0, 0.0, 0.05]))
    assert shape_picture(lit, 60, FRONT)[30, 30].sum() > shape_picture(dim, 60, FRONT)[30, 30].sum() + 60


def test_a_sheet_has_a_row_for_each_label(tmp_path: Path) -> None:
    rows = [[square(0, 0.3), square(0, 0.1)], [square(0, 0.2)]]
    sheet = contact_sheet(rows, ["two", "one"], 50)
    assert sheet.shape[0] == 100 and sheet.shape[1] > 100
    assert drawn(sheet[:, : sheet.shape[1] - 100]).any()
    write_contact_sheet(tmp_path / "sheet.png", rows, ["two", "one"], 50)
    assert np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).shape == sheet.shape
    with pytest.raises(ResourceError):
        write_contact_sheet(tmp_path / "missing" / "sheet.png", rows)
