"""How far imagined views are from true ones: outlines, normals, depths; and sets of pictures from each other."""

from __future__ import annotations

import numpy as np

__all__ = ["depth_error", "frechet_distance", "mask_iou", "normal_angle"]


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


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """sqrt(|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))) of the Gaussians with the moments of `a [N, D]` and `b [M, D]`.

    In the unit of the entries; 0 for equal sets, and above 0 for two draws of one law: compare sets of one size. With
    the centred data A and B, S = A^T A / (N - 1), and tr (S S')^(1/2) is the sum of the singular values of A B^T over
    sqrt((N - 1)(M - 1)), so D may be large. Raises `ValueError` unless both sets hold two entries of one length.
    Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X; of pictures through a network, arXiv:1706.08500.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"sets of shapes {a.shape} and {b.shape}; give two rows or more of one length in each.")
    a, b = a.astype(np.float64), b.astype(np.float64)
    means = a.mean(0), b.mean(0)
    x, y = (a - means[0]) / np.sqrt(len(a) - 1), (b - means[1]) / np.sqrt(len(b) - 1)
    common = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    square = ((means[0] - means[1]) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * common
    return float(np.sqrt(max(square, 0.0)))
