"""Laying one geometry onto another: the rotation of least squares, never a reflection.   Kabsch 1976"""

from __future__ import annotations

import numpy as np

__all__ = ["rmsd", "superpose"]


def superpose(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """`moving` turned and shifted onto `fixed`, argmin over R (det 1), b of sum |R x_i + b - y_i|^2; `[N, 3]` float64.

    From moving' fixed = U S V': R = U diag(1, 1, det U V') V'.
    """
    a, b = moving.astype(np.float64), fixed.astype(np.float64)
    u, _, vt = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    u[:, -1] *= np.linalg.det(u @ vt)
    moved: np.ndarray = (a - a.mean(0)) @ (u @ vt) + b.mean(0)
    return moved


def rmsd(a: np.ndarray, b: np.ndarray) -> float:
    """sqrt(mean_i |a_i - b_i|^2) of `[N, 3]` as they lie."""
    return float(np.sqrt(((a.astype(np.float64) - b) ** 2).sum(1).mean()))
