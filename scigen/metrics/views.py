"""How far imagined views are from true ones: outlines, normals, depths."""

from __future__ import annotations

import numpy as np

__all__ = ["depth_error", "mask_iou", "normal_angle"]


def mask_iou(found: np.ndarray, true: np.ndarray) -> float:
    """|A and B| / |A or B| over all pixels of boolean masks of one shape; 1 when both are empty."""
    union = int((found | true).sum())
    return int((found & true).sum()) / union if union else 1.0


def normal_angle(found: np.ndarray, true: np.ndarray, where: np.ndarray) -> float:
    """Mean angle in degrees between normals `[..., 3]` of any positive length, over the pixels `where [...]`.

    A normal without direction counts as 90. NaN where there is no pixel.
    """
    a, b = found[where].astype(np.float64), true[where].astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(1) / np.where(lengths > 0, lengths, 1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()) if len(a) else float("nan")


def depth_error(found: np.ndarray, true: np.ndarray, where: np.ndarray) -> float:
    """Mean |d - d'| over the pixels `where`, in the unit of the depths. NaN where there is no pixel."""
    return float(np.abs(found[where].astype(np.float64) - true[where]).mean()) if where.any() else float("nan")
