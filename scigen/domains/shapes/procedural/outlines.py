"""Closed outlines in the plane, `[S, 2]` counter-clockwise: the sections of lofts, sweeps and extrusions."""

from __future__ import annotations

import numpy as np

__all__ = ["airfoil", "circle", "ngon", "rounded", "superellipse"]


def circle(radius: float = 1.0, count: int = 20) -> np.ndarray:
    """A circle of `count` points, the first at (radius, 0)."""
    return superellipse(2 * radius, 2 * radius, 2.0, count)


def ngon(across_flats: float, sides: int) -> np.ndarray:
    """A regular polygon by the distance across its flats (or of its flats' planes from the centre, twice)."""
    return circle(across_flats / 2 / np.cos(np.pi / sides), sides)


def superellipse(width: float, height: float, power: float, count: int = 20) -> np.ndarray:
    """|2x/width|^power + |2y/height|^power = 1: an ellipse at 2, towards its box as the power grows."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    wave = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.sign(wave) * np.abs(wave) ** (2 / power) * [width / 2, height / 2]


def rounded(width: float, height: float, radius: float, corner: int = 3) -> np.ndarray:
    """A rectangle with arcs of `corner` + 1 points; the radius is cut to fit."""
    radius = min(radius, 0.499 * width, 0.499 * height)
    angle = np.linspace(0, np.pi / 2, corner + 1)
    arcs = []
    for quarter, (x, y) in enumerate([(1, 1), (-1, 1), (-1, -1), (1, -1)]):
        turned = angle + quarter * np.pi / 2
        centre = [x * (width / 2 - radius), y * (height / 2 - radius)]
        arcs.append(centre + radius * np.stack([np.cos(turned), np.sin(turned)], 1))
    return np.concatenate(arcs)


def airfoil(chord: float, thickness: float, count: int = 9) -> np.ndarray:
    """A symmetric wing section, leading edge at x = 0, with a blunt trailing edge nearly half as thick as the whole.

    Half thickness 5 t (.2969 √x - .126 x - .3516 x^2 + .2843 x^3 - .1015 x^4) of the four-digit series (NACA 460).
    """
    x = (1 - np.cos(np.linspace(0, np.pi, count))) / 2
    y = 5 * thickness * (0.2969 * np.sqrt(x) - 0.126 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1015 * x**4)
    y = np.maximum(y, np.where(x > 0.4, 0.22 * thickness, 0))
    lower, upper = np.stack([x, -y], 1)[1:], np.stack([x, y], 1)[::-1]
    return chord * np.concatenate([lower, upper])
