"""The frame shapes live in: y up, centred, inside a sphere of diameter 1; and the way back to the input's own units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Frame", "bounding_frame"]

_ROUNDS = 256  # the radius found exceeds the smallest by a share of about 1 / rounds at worst


@dataclass(frozen=True)
class Frame:
    """x = (X - center) / scale, with X in the units of the input; `scale` is the diameter of its bounding sphere."""

    center: np.ndarray  # [3], float64
    scale: float

    def enter(self, points: np.ndarray) -> np.ndarray:
        """Into the unit frame, `[N, 3]` float32."""
        return ((points.astype(np.float64) - self.center) / self.scale).astype(np.float32)

    def leave(self, points: np.ndarray) -> np.ndarray:
        """Back to the input's units, `[N, 3]` float64: large offsets do not fit float32."""
        return points.astype(np.float64) * self.scale + self.center


def bounding_frame(points: np.ndarray) -> Frame:
    """The frame of the smallest enclosing sphere; it turns with the points.

    c <- c + (farthest - c) / (k + 1) from their mean (Badoiu and Clarkson 2003); the radius is then exact for the
    centre found, so every point fits. Raises `ValueError` when the points have no extent.
    """
    mean = points.mean(0, dtype=np.float64)
    x = points - mean  # so that squares hold under a far offset
    squares, center = (x**2).sum(1), np.zeros(3)
    for k in range(1, _ROUNDS + 1):
        farthest = int((squares - x @ (2 * center)).argmax())  # |x - c|^2 but for |c|^2
        center = center + (x[farthest] - center) / (k + 1)
    scale = 2 * float(np.sqrt(((x - center) ** 2).sum(1).max()))
    if not np.isfinite(scale) or scale <= 1e-12 * (1 + np.abs(points).max()):
        raise ValueError(f"{len(points)} points without extent (they lie within {scale:.1e}); a shape needs a size.")
    return Frame(mean + center, scale)
