"""Views by a model that draws them as one picture, as Zero123++ does: six tiles, three rows of two, on plain grey.

Nothing here knows the model: it is a function from a picture and a seed to a sheet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scigen.domains.image3d.rig import ZERO123PLUS_12, CameraRig
from scigen.domains.image3d.subject import TOLERANCE, Subject, beside, ring
from scigen.domains.image3d.views import Views
from scigen.errors import InputError

__all__ = ["SheetPrior", "views_of_sheet"]

ROWS, COLUMNS = 3, 2
_TAKES, _KEPT = 320, 64  # pixels a side of the picture given, and, at most, of the views that a mesh is fitted to


@dataclass(frozen=True)
class SheetPrior:
    """A model of six views in one sheet: `imagine(picture [N, N, 4] uint8, seed)` is `[3 n, 2 n, 3]` uint8."""

    imagine: Callable[[np.ndarray, int], np.ndarray]
    rig: CameraRig = ZERO123PLUS_12
    pixels: int = _TAKES

    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]:
        """`k` sheets, draw i from a seed of its own. Raises InputError for what is no sheet."""
        rgba = np.rint(255 * np.concatenate([subject.rgb, subject.mask[..., None]], -1)).astype(np.uint8)
        seeds = [int(np.random.SeedSequence((seed, i)).generate_state(1)[0]) for i in range(k)]
        return [views_of_sheet(self.imagine(rgba, one), self.rig) for one in seeds]


def views_of_sheet(sheet: np.ndarray, rig: CameraRig) -> Views:
    """Masks and colours of the tiles `[3 n, 2 n, 3]` uint8, row by row, averaged down to 64 pixels a side at most.

    A tile's background is what looks like the middle colour of its border and hangs together with it. Raises InputError
    for a sheet of another shape.
    """
    n = sheet.shape[1] // COLUMNS
    if sheet.ndim != 3 or sheet.shape != (ROWS * n, COLUMNS * n, 3) or n < 8 or len(rig) != ROWS * COLUMNS:
        raise InputError(
            f"the model drew {' x '.join(map(str, sheet.shape))} and not {ROWS} rows of {COLUMNS} square views in"
            " colour; name the pipeline of Zero123++."
        )
    tiles = sheet.reshape(ROWS, n, COLUMNS, n, 3).swapaxes(1, 2).reshape(-1, n, n, 3).astype(np.float32) / 255
    views = [_averaged(tile, _cut_out(tile)) for tile in tiles]
    mask, colour = (np.stack(parts).astype(np.float32) for parts in zip(*views))
    return Views(rig, mask, None, None, colour)


def _cut_out(tile: np.ndarray) -> np.ndarray:
    border = ring(tile.shape[:2])
    ground = np.median(tile[border], axis=0)
    return beside(np.sqrt(((tile - ground) ** 2).mean(-1)) < TOLERANCE, border)


def _averaged(tile: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and the object's colours, white off it, of squares of pixels."""
    fold = -(-len(tile) // _KEPT)
    n = len(tile) // fold
    parts = np.concatenate([tile * mask[..., None], mask[..., None]], -1)[: n * fold, : n * fold]
    sums = parts.reshape(n, fold, n, fold, 4).mean((1, 3))
    cover = sums[..., 3]
    return cover, np.where(cover[..., None] > 0, sums[..., :3] / np.maximum(cover[..., None], 1e-6), 1.0).clip(0, 1)
