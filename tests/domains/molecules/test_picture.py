"""Pictures: something is drawn, always the same, never the mirror image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scigen.domains.molecules.data import Molecule, load_fixture
from scigen.domains.molecules.picture import _principal_view, ball_and_stick, grid_image, write_grid
from scigen.errors import ResourceError

DATA = load_fixture()


def chiral() -> Molecule:
    """Four different atoms around a carbon, at unequal distances so that no two axes tie."""
    pos = np.array([[0, 0, 0], [1.9, 0.3, 0.2], [-0.6, 1.5, 0.1], [-0.5, -0.6, 1.0], [-0.4, -0.8, -0.9]], np.float32)
    bond = np.array([[0, k, 1] for k in range(1, 5)], np.uint8)
    return Molecule(np.array([6, 9, 8, 7, 1], np.uint8), np.zeros(5, np.int8), pos, bond)


def handedness(pos: np.ndarray) -> float:
    a, b, c = pos[1] - pos[0], pos[2] - pos[0], pos[3] - pos[0]
    return float(np.sign(np.dot(np.cross(a, b), c)))


def test_something_is_drawn():
    image = ball_and_stick(DATA[100], 120)
    assert image.shape == (120, 120, 3) and image.dtype == np.uint8
    ink = (image.min(-1) < 250).mean()
    assert 0.03 < ink < 0.9
    assert (image[0] == 255).all() and (image[:, 0] == 255).all(), "the molecule fits the frame"


def test_the_same_molecule_the_same_picture():
    assert np.array_equal(ball_and_stick(DATA[7], 96), ball_and_stick(DATA[7], 96))
    assert not np.array_equal(ball_and_stick(DATA[7], 96), ball_and_stick(DATA[8], 96))


def test_the_place_in_space_does_not_matter():
    m = DATA[7]
    moved = replace(m, pos=m.pos + np.float32([10, -4, 2]))
    assert np.abs(ball_and_stick(m, 96).astype(int) - ball_and_stick(moved, 96)).mean() < 1


def test_a_mirror_image_stays_one(numpy_rng):
    m = chiral()
    mirrored = m.pos * np.float32([1, 1, -1])
    assert handedness(_principal_view(m.pos.astype(float))) == handedness(m.pos)
    assert handedness(_principal_view(mirrored.astype(float))) == handedness(mirrored) == -handedness(m.pos)
    for _ in range(20):
        q = np.linalg.qr(numpy_rng.normal(size=(3, 3)))[0]
        turned = m.pos @ (q * np.linalg.det(q))
        assert handedness(_principal_view(turned)) == handedness(m.pos)


def test_the_mirror_image_looks_different():
    m = chiral()
    image, other = (ball_and_stick(replace(m, pos=p), 96) for p in (m.pos, m.pos * np.float32([1, 1, -1])))
    assert not np.array_equal(image, other), "what is in front differs, if nothing else"


def test_elements_and_orders_show():
    single = Molecule(
        np.array([6, 8], np.uint8), np.zeros(2, np.int8), np.array([[0, 0, 0], [1.4, 0, 0]], np.float32),
        np.array([[0, 1, 1]], np.uint8),
    )  # fmt: skip
    image = ball_and_stick(single, 120)
    red = (image[..., 0] > 150) & (image[..., 1] < 90)
    assert red.any(), "oxygen is red"
    double = replace(single, bond=np.array([[0, 1, 2]], np.uint8))
    assert not np.array_equal(image, ball_and_stick(double, 120))
    assert not np.array_equal(image, ball_and_stick(replace(single, z=np.array([6, 7], np.uint8)), 120))


def test_odd_molecules_are_drawn():
    one = Molecule(
        np.array([1], np.uint8), np.zeros(1, np.int8), np.zeros((1, 3), np.float32), np.zeros((0, 3), np.uint8)
    )
    assert (ball_and_stick(one, 64) < 250).any()
    far = replace(DATA[3], pos=DATA[3].pos * 20)
    assert (ball_and_stick(far, 64) < 250).any(), "larger than the frame: shrunk to fit"
    on_top = replace(DATA[3], pos=DATA[3].pos * 0)
    assert ball_and_stick(on_top, 64).shape == (64, 64, 3)


def test_a_grid_fills_row_by_row(tmp_path):
    molecules = [DATA[k] for k in range(5)]
    sheet = grid_image(molecules, columns=3, pixels=48)
    assert sheet.shape == (96, 144, 3)
    assert np.array_equal(sheet[:48, 48:96], ball_and_stick(molecules[1], 48))
    assert np.array_equal(sheet[48:, :48], ball_and_stick(molecules[3], 48))
    assert (sheet[48:, 96:] == 255).all()
    assert (grid_image([], pixels=48) == 255).all()


def test_the_file_is_a_png(tmp_path):
    path = tmp_path / "grid.png"
    write_grid(path, [DATA[k] for k in range(2)])
    with Image.open(path) as image:
        assert image.format == "PNG" and image.size == (480, 240)
    with pytest.raises(ResourceError):
        write_grid(tmp_path / "nowhere" / "grid.png", [DATA[0]])
