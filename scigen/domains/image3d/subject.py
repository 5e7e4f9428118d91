"""The object in a picture: apart from its background, and framed the same whatever the picture around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scigen.errors import InputError
from scigen.io.images import Picture

__all__ = ["FILLED", "TOLERANCE", "Subject", "beside", "frame", "framed", "framed_mask", "ring", "subject_of"]

FILLED = 0.9  # of the frame that the longer side of the object takes
_LEAST, _MOST = 0.002, 0.98  # share of the picture that an object covers
_BORDER = 0.02  # share of a side taken for border
TOLERANCE = 0.06  # root mean square of a colour's distance from the background, in [0, 1]
_AGREE = 0.9  # share of the border that must be background
_OPAQUE = 250


@dataclass(frozen=True)
class Subject:
    """An object alone in a square: `rgb [N, N, 3]`, white off it, and its coverage `mask [N, N]`; float32 in [0, 1]."""

    rgb: np.ndarray
    mask: np.ndarray


def subject_of(picture: Picture, pixels: int, mask: np.ndarray | None = None) -> Subject:
    """The object of a picture in the frame of `framed`: by a `mask [H, W]`, else by its opacities, else by its border.

    The colour of a background is a quadratic function of place, fitted to the border (light falls off): what lies
    within 6 % of it and hangs together with the border is background. Raises InputError when the border is not of one
    piece, and when no object, or nothing else, is left.
    """
    rgb = picture.rgb.astype(np.float32) / 255
    if mask is not None:
        return framed(rgb, _sound(mask, "the mask"), pixels)
    if picture.alpha is not None and picture.alpha.min() < _OPAQUE:
        return framed(rgb, _sound(picture.alpha.astype(np.float32) / 255, "the transparency"), pixels)
    return framed(rgb, _sound(_apart(rgb), "the background's colour"), pixels)


def framed(rgb: np.ndarray, mask: np.ndarray, pixels: int) -> Subject:
    """The object `mask [H, W]` in a square of `pixels`^2, centred, its longer side `FILLED` of the square's.

    Areas are averaged, colours weighted by the mask. Raises InputError for an empty mask.
    """
    box = frame(mask)
    cover = _window(mask, box, pixels)
    colour = np.stack([_window(mask * rgb[..., c], box, pixels) for c in range(3)], -1)
    inside = cover[..., None] > 1e-3
    colour = np.where(inside, colour / np.maximum(cover[..., None], 1e-3), 1.0)
    return Subject(colour.clip(0, 1).astype(np.float32), cover.clip(0, 1).astype(np.float32))


def framed_mask(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The coverage alone of `framed`, `[pixels, pixels]` float32. Raises InputError for an empty mask."""
    return _window(mask, frame(mask), pixels).clip(0, 1)


def frame(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the square that the object `mask [H, W]` is centred in, in pixels.

    Raises InputError for an empty mask.
    """
    rows, columns = (np.flatnonzero((mask > 0.5).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise InputError("the picture shows no object; nothing in it is opaque.")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    half = max(bottom - top, right - left) / FILLED / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half, y - half, x + half, y + half


def _window(plane: np.ndarray, box: tuple[float, float, float, float], pixels: int) -> np.ndarray:
    """A box (left, top, right, bottom) of a plane, which may reach beyond it, as `pixels`^2 averages."""
    from PIL import Image

    margin = int(np.ceil(max(0.0, -min(box[:2]), box[2] - plane.shape[1], box[3] - plane.shape[0]))) + 1
    padded = Image.fromarray(np.pad(plane.astype(np.float32), margin))
    left, top, right, bottom = (edge + margin for edge in box)
    return np.asarray(padded.resize((pixels, pixels), Image.Resampling.BOX, (left, top, right, bottom)))


def _sound(mask: np.ndarray, by: str) -> np.ndarray:
    share = float((mask > 0.5).mean())
    if share < _LEAST:
        raise InputError(f"the picture shows no object: by {by}, {share:.2%} of it is one; give another, or --mask.")
    if share > _MOST:
        raise InputError(f"nothing of the picture is background: by {by}, {share:.1%} is object; leave a margin.")
    return mask


def _apart(rgb: np.ndarray) -> np.ndarray:
    """1 where a pixel is not background."""
    border = ring(rgb.shape[:2])
    background = _smooth_background(rgb, border)
    off = np.sqrt(((rgb - background) ** 2).mean(-1))
    alike = off < TOLERANCE
    if alike[border].mean() < _AGREE:
        raise InputError(
            f"nothing separates the object: only {alike[border].mean():.0%} of the picture's border has one colour; cut"
            " the object out (transparent background), or give --mask."
        )
    return beside(alike, border)


def beside(alike: np.ndarray, border: np.ndarray) -> np.ndarray:
    """1 for the object `[H, W]` float32, where `alike [H, W]` are the pixels that look like what is on the `border`.

    What hangs together with the border is background. Specks are noise of it; a hole in the object shows it only where
    that is large.
    """
    from scipy.ndimage import binary_fill_holes, label

    pieces = label(alike)[0]
    outer = np.isin(pieces, np.unique(pieces[border & alike])) & alike
    objects, count = label(~outer)
    sizes = np.bincount(objects.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = np.isin(objects, np.flatnonzero(sizes > 0.02 * sizes.max()))
    filled = binary_fill_holes(kept)
    return np.where(filled & ~(alike & _wide(filled & alike)), 1.0, 0.0).astype(np.float32)


def _wide(holes: np.ndarray) -> np.ndarray:
    """Patches of background colour inside the object that are as large as a hole, not a highlight."""
    from scipy.ndimage import label

    pieces, count = label(holes)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.isin(pieces, np.flatnonzero(sizes > _LEAST * holes.size))


def ring(shape: tuple[int, int]) -> np.ndarray:
    """The border of a picture `[H, W]` bool, 2 % of its shorter side wide."""
    width = max(1, round(_BORDER * min(shape)))
    ring = np.ones(shape, bool)
    ring[width:-width, width:-width] = False
    return ring


def _smooth_background(rgb: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Least squares of 1, x, y, x^2, x y, y^2 on the border, twice: the second time without what is far off."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in rgb.shape[:2]), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    used = border & (np.abs(rgb - np.median(rgb[border], 0)).max(-1) < 0.35)
    if used.sum() < 0.5 * border.sum():
        used = border
    for _ in range(2):
        weights = np.linalg.lstsq(terms[used], rgb[used].astype(np.float64), rcond=None)[0]
        off = np.abs(terms[border] @ weights - rgb[border]).max(-1)
        near = np.zeros_like(border)
        near[border] = off <= max(np.quantile(off, 0.9), 1e-3)
        used = near
    return terms @ weights
