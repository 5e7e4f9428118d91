"""Pictures in: every kind that is read gives the same colours, and what is refused says why before it costs memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scigen.errors import InputError
from scigen.io.images import read_mask, read_picture

RGB = np.zeros((40, 60, 3), np.uint8)
RGB[:, :, 0], RGB[5:20, 10:50] = 200, (30, 90, 220)
ALPHA = np.zeros((40, 60), np.uint8)
ALPHA[5:20, 10:50] = 255


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "gif", "jpg", "webp"])
def test_formats_agree(suffix: str, tmp_path: Path) -> None:
    picture = read_picture(saved(tmp_path / f"x.{suffix}", Image.fromarray(RGB)))
    assert picture.alpha is None and picture.rgb.shape == RGB.shape and picture.rgb.dtype == np.uint8
    loss = np.abs(picture.rgb.astype(int) - RGB)
    assert np.median(loss) <= (0 if suffix not in ("jpg", "webp") else 4)


def test_modes_become_colours(tmp_path: Path) -> None:
    whole = Image.fromarray(np.concatenate([RGB, ALPHA[..., None]], -1))
    picture = read_picture(saved(tmp_path / "rgba.png", whole))
    assert np.array_equal(picture.alpha, ALPHA) and np.array_equal(picture.rgb[ALPHA > 0], RGB[ALPHA > 0])
    grey = read_picture(saved(tmp_path / "l.png", Image.fromarray(RGB[..., 2])))
    assert grey.alpha is None and (grey.rgb == RGB[..., 2:]).all()
    assert np.array_equal(read_picture(saved(tmp_path / "la.png", whole.convert("LA"))).alpha, ALPHA)
    palette = Image.fromarray(RGB).quantize(8)
    assert read_picture(saved(tmp_path / "p.png", palette)).alpha is None
    clear = read_picture(saved(tmp_path / "pt.png", palette, transparency=palette.getpixel((0, 0))))
    assert clear.alpha is not None and clear.alpha[0, 0] == 0 and clear.alpha[10, 30] == 255
    assert read_picture(saved(tmp_path / "1.png", Image.fromarray(ALPHA).convert("1"))).rgb.max() == 255


def test_pictures_stand_upright_and_stay_small(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6  # the camera was turned
    turned = read_picture(saved(tmp_path / "x.png", Image.fromarray(RGB), exif=tags))
    assert turned.rgb.shape == (60, 40, 3)
    large = Image.fromarray(RGB).resize((3000, 2000), Image.Resampling.NEAREST)
    assert max(read_picture(saved(tmp_path / "y.png", large)).rgb.shape) == 1024


def test_a_telephone_puts_a_preview_behind_the_photograph(tmp_path: Path) -> None:
    preview = [Image.fromarray(255 - RGB[::2, ::2])]
    path = saved(tmp_path / "x.jpg", Image.fromarray(RGB), format="MPO", save_all=True, append_images=preview)
    picture = read_picture(path)
    assert picture.rgb.shape == RGB.shape and np.median(np.abs(picture.rgb.astype(int) - RGB)) <= 4


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def sixteen(path: Path) -> Path:
    """16 bits of red, green and blue, as Pillow cannot write them."""
    rows = b"".join(b"\0" + b"\x12\x34" * 3 * 20 for _ in range(20))
    data = bomb(20, 20).replace(struct.pack(">IIBB", 20, 20, 8, 2), struct.pack(">IIBB", 20, 20, 16, 2))
    head = struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)
    at = data.index(b"IHDR")
    data = data[: at + 17] + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[at + 21 :]
    body = zlib.compress(rows)
    start = data.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    path.write_bytes(data[:start] + chunk + data[-12:])
    return path


def frames(path: Path) -> Path:
    images = [Image.fromarray(np.roll(RGB, k, 0)) for k in (0, 9)]
    images[0].save(path, save_all=True, append_images=images[1:])
    return path


def test_what_is_refused(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.png", Image.fromarray(RGB)).read_bytes()
    files = {
        "prose.png": b"It was a dark and stormy night.\n" * 9,
        "cut.png": good[: len(good) // 2],
        "flipped.png": good[:60] + bytes([good[60] ^ 255]) + good[61:],
        "empty.png": b"",
        "huge.png": bomb(20_000, 20_000),
        "large.png": bomb(9_000, 9_000),
        "hollow.png": bomb(400, 400),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    said = {
        "prose.png": "not a picture", "cut.png": "damaged", "flipped.png": "damaged", "empty.png": "is empty",
        "huge.png": "400,000,000 pixels", "large.png": "9000 x 9000 pixels", "hollow.png": "damaged",
        "none.png": "does not exist",
        sixteen(tmp_path / "16.png").name: "more than 8 bits",
        saved(tmp_path / "i16.png", Image.fromarray(ALPHA.astype(np.uint16))).name: "more than 8 bits",
        saved(tmp_path / "i16.tif", Image.fromarray(ALPHA.astype(np.uint16))).name: "more than 8 bits",
        saved(tmp_path / "f.tif", Image.fromarray(ALPHA.astype(np.float32))).name: "floating-point",
        saved(tmp_path / "cmyk.jpg", Image.fromarray(RGB).convert("CMYK")).name: "CMYK",
        saved(tmp_path / "dot.png", Image.fromarray(RGB[:1, :1])).name: "1 x 1 pixels",
        frames(tmp_path / "film.gif").name: "2 pictures",
        frames(tmp_path / "pages.tiff").name: "2 pictures",
        frames(tmp_path / "film.png").name: "2 pictures",
    }  # fmt: skip
    for name, words in said.items():
        with pytest.raises(InputError) as caught:
            read_picture(tmp_path / name)
        sentence = str(caught.value)
        assert words in sentence and name in sentence and "\n" not in sentence and sentence.endswith(".")
    with pytest.raises(InputError, match="not a regular file"):
        read_picture(tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_damage_anywhere_is_one_sentence(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    for suffix in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
        path = saved(tmp_path / f"x.{suffix}", Image.fromarray(RGB))
        data = bytearray(path.read_bytes())
        for _ in range(12):
            broken = data[: rng.integers(1, len(data))] if rng.random() < 0.3 else bytearray(data)
            for at in rng.integers(0, len(broken), 4):
                broken[at] = rng.integers(256)
            path.write_bytes(bytes(broken))
            try:
                picture = read_picture(path)
                assert picture.rgb.ndim == 3 and max(picture.rgb.shape) <= 1024
            except InputError as error:
                assert "\n" not in str(error)


def test_masks(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", Image.fromarray(ALPHA))
    np.testing.assert_allclose(read_mask(path, (40, 60)), ALPHA / 255)
    assert read_mask(path, (20, 30)).shape == (20, 30)
    cut = Image.fromarray(np.concatenate([RGB, ALPHA[..., None]], -1))
    np.testing.assert_allclose(read_mask(saved(tmp_path / "cut.png", cut), (40, 60)), ALPHA / 255)
    with pytest.raises(InputError, match="60 x 40 and the picture 40 x 40"):
        read_mask(path, (40, 40))
