"""Light on a surface: a lamp, the sky, and a gloss, in the camera's axes.

colour = paint (ambient + sky (1 + n_y) / 2 + strength max(n.l, 0)) + gloss max(n.h, 0)^hardness max(n.l, 0), with h
halfway between the lamp l and the eye (Blinn 1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Light", "shaded"]


@dataclass(frozen=True)
class Light:
    """The lamp's direction in the camera's axes (right, up, towards it), and strengths."""

    lamp: tuple[float, float, float] = (-0.45, 0.62, 0.65)
    ambient: float = 0.35
    sky: float = 0.15
    strength: float = 0.6
    gloss: float = 0.12
    hardness: float = 24.0


def shaded(paint: np.ndarray, normals: np.ndarray, rays: np.ndarray, axes: np.ndarray, light: Light) -> np.ndarray:
    """Colours `[H, 3]` in [0, 1] of surfaces painted `paint`, with `normals [H, 3]` towards the eye, met by `rays`.

    `axes` holds the camera's right, up and forward.
    """
    lamp = np.array(light.lamp) / np.linalg.norm(light.lamp) * [1, 1, -1] @ axes
    half = lamp - rays
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-9)
    facing = np.maximum(normals @ lamp, 0)
    dim = light.ambient + light.sky * (1 + normals[:, 1]) / 2 + light.strength * facing
    shine = light.gloss * np.maximum((normals * half).sum(1), 0) ** light.hardness * facing
    return np.clip(paint * dim[:, None] + shine[:, None], 0, 1)
