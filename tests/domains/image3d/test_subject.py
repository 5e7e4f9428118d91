"""Objects out of pictures: by transparency, by mask, by the border's colour, or not at all; and framed alike."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.image3d.photograph import photograph, random_look, taken
from scigen.domains.image3d.rig import Viewpoint
from scigen.domains.image3d.subject import FILLED, framed, subject_of
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.errors import InputError
from scigen.io.images import Picture
from tests.domains.shapes.bodies import ball

Y, X = np.meshgrid(np.arange(120), np.arange(160), indexing="ij")
DISC = (Y - 50) ** 2 + (X - 90) ** 2 < 30**2


def scene(background: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """A red disc before a background, uint8."""
    rgb = np.where(DISC[..., None], [200, 40, 40], background)
    return (rgb + noise * np.random.default_rng(0).normal(size=rgb.shape)).clip(0, 255).astype(np.uint8)


def is_the_disc(mask: np.ndarray) -> None:
    n = len(mask)
    y, x = np.meshgrid(*[np.arange(n) + 0.5 - n / 2] * 2, indexing="ij")
    expected = y**2 + x**2 < (FILLED * n / 2) ** 2
    assert ((mask > 0.5) != expected).mean() < 0.04


@pytest.mark.parametrize(
    "background",
    [
        np.array([255, 255, 255]),
        np.array([20, 30, 60]),
        np.stack([100 + 0.6 * X, 120 + 0.4 * Y, 150 - 0.3 * X], -1),  # light falls off
    ],
    ids=["white", "dark", "sloping"],
)
def test_a_plain_background_goes(background: np.ndarray) -> None:
    subject = subject_of(Picture(scene(background, 3.0)), 64)
    is_the_disc(subject.mask)
    assert subject.rgb[32, 32, 0] > 2 * subject.rgb[32, 32, 1] and (subject.rgb[0, 0] == 1).all()


def test_opacity_and_mask_go_before_colour() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3))
    is_the_disc(subject_of(Picture(scene(noise), (255 * DISC).astype(np.uint8)), 64).mask)
    is_the_disc(subject_of(Picture(scene(noise)), 64, DISC.astype(np.float32)).mask)


def test_a_hole_shows_the_background_and_a_highlight_does_not() -> None:
    rgb = scene(np.array([255, 255, 255]))
    rgb[(Y - 50) ** 2 + (X - 90) ** 2 < 15**2] = 255  # a ring
    rgb[46:48, 68:70] = 255  # a gleam
    subject = subject_of(Picture(rgb), 120)
    assert subject.mask[60, 60] == 0 and subject.mask.mean() > 0.3
    assert (subject.mask[45:55, 12:24] > 0.9).all()


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Picture(np.random.default_rng(0).integers(0, 255, (90, 90, 3)).astype(np.uint8)), "nothing separates"),
        (Picture(np.full((90, 90, 3), 77, np.uint8)), "shows no object"),
        (Picture(np.zeros((90, 90, 3), np.uint8), np.zeros((90, 90), np.uint8)), "shows no object"),
        (Picture(np.zeros((90, 90, 3), np.uint8), np.pad(np.zeros((1, 1), np.uint8), ((0, 89), (0, 89)),
                                                         constant_values=255)), "is background"),
    ],
    ids=["noise", "plain", "transparent", "full"],
)  # fmt: skip
def test_no_object(picture: Picture, words: str) -> None:
    with pytest.raises(InputError, match=words):
        subject_of(picture, 48)
    with pytest.raises(InputError, match="no object"):
        subject_of(picture, 48, np.zeros((90, 90), np.float32))


def test_framing_forgets_where_and_how_large() -> None:
    def disc(size: int, at: tuple[int, int], radius: float) -> np.ndarray:
        y, x = np.mgrid[:size, :size]
        return ((y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2).astype(np.float32)

    pictures = [disc(200, (100, 100), 60), disc(200, (30, 150), 25), disc(300, (290, 10), 80)]
    whole, small, cut = (framed(np.ones((*m.shape, 3), np.float32), m, 48).mask for m in pictures)
    assert np.abs(whole - small).mean() < 0.03
    assert cut.max() == 1, "an object at the edge of a picture is framed as far as it is seen"
    for mask in (whole, small):
        rows = np.flatnonzero((mask > 0.5).any(1))
        assert rows[-1] - rows[0] + 1 == pytest.approx(FILLED * 48, abs=1.5)


def test_photographs_vary_and_repeat() -> None:
    mesh = ProceduralSet(1).mesh(5)
    at = Viewpoint(30, 20)
    one, again, other = (photograph(mesh, at, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one[0].rgb, again[0].rgb) and not np.allclose(one[0].rgb, other[0].rgb)
    assert one[1].rgb.shape == (64, 64, 3) and one[1].alpha is not None
    assert ((one[0].mask > 0.5) != (other[0].mask > 0.5)).mean() < 0.08, "the lens alone moves the outline"


def test_every_lens_holds_the_object() -> None:
    mesh = ball(0.5, rings=20)
    look = random_look(mesh, np.random.default_rng(0))
    for fov in (None, 15.0, 50.0):
        _, cover = taken(mesh, look, Viewpoint(10, 5), 40, fov)
        assert not cover[[0, -1]].any() and not cover[:, [0, -1]].any() and cover.mean() > 0.6
