"""Ball-and-stick pictures of molecules: orthographic rays against spheres and cylinders, in numpy, with a depth buffer.

Multiple bonds are parallel sticks; each half of a stick has the colour of its atom, unless the bond was given (`kept`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scigen.domains.molecules.data import Molecule
from scigen.io.atomic import atomic_file

__all__ = ["ball_and_stick", "grid_image", "write_grid"]

COLOURS = {
    1: (0.93, 0.93, 0.93), 6: (0.35, 0.35, 0.37), 7: (0.19, 0.35, 0.92), 8: (0.90, 0.16, 0.16), 9: (0.40, 0.80, 0.25),
}  # fmt: skip
RADII = {1: 0.26, 6: 0.40, 7: 0.39, 8: 0.38, 9: 0.36}  # Å, for looks
KEPT = (0.95, 0.62, 0.10)
STICK = 0.11  # Å
OFFSETS = {1: (0.0,), 2: (-0.14, 0.14), 3: (-0.22, 0.0, 0.22)}  # Å, sticks of a bond of that order
LIGHT = np.array([-0.4, 0.5, 0.77])
SPAN = 9.0  # Å across a picture: every molecule at one scale
SMOOTH = 2  # supersampling


def ball_and_stick(molecule: Molecule, pixels: int = 240, kept: int = 0) -> np.ndarray:
    """RGB picture `[pixels, pixels, 3]` uint8 along the thinnest principal axis; larger molecules are shrunk to fit.

    Bonds among the first `kept` atoms are amber.
    """
    size = pixels * SMOOTH
    pos = _principal_view(molecule.pos.astype(np.float64))
    half = max(SPAN / 2, float(np.abs(pos[:, :2]).max(initial=0)) + 0.6)
    colour, depth = np.ones((size, size, 3)), np.full((size, size), -np.inf)
    canvas = Canvas(colour, depth, half)
    for start, end, a, b in _sticks(molecule, pos):
        middle = (start + end) / 2
        given = max(a, b) < kept
        _cylinder(canvas, start, middle, STICK, KEPT if given else _colour(molecule.z[a]))
        _cylinder(canvas, middle, end, STICK, KEPT if given else _colour(molecule.z[b]))
    for z, point in zip(molecule.z, pos, strict=True):
        _sphere(canvas, point, RADII.get(int(z), 0.42), _colour(z))
    small = colour.reshape(pixels, SMOOTH, pixels, SMOOTH, 3).mean((1, 3))
    return (small.clip(0, 1) * 255).astype(np.uint8)


def grid_image(molecules: Sequence[Molecule], columns: int = 6, pixels: int = 240, kept: int = 0) -> np.ndarray:
    """Pictures in rows of `columns`, left to right."""
    columns = max(1, min(columns, len(molecules)))
    rows = -(-len(molecules) // columns)
    sheet = np.full((max(rows, 1) * pixels, columns * pixels, 3), 255, np.uint8)
    for k, molecule in enumerate(molecules):
        y, x = (k // columns) * pixels, (k % columns) * pixels
        sheet[y : y + pixels, x : x + pixels] = ball_and_stick(molecule, pixels, kept)
    return sheet


def write_grid(path: Path, molecules: Sequence[Molecule], kept: int = 0) -> None:
    """Write the grid of molecules as PNG, bonds among their first `kept` atoms in amber.

    Raises `ResourceError` when it cannot be written.
    """
    from PIL import Image

    with atomic_file(path) as handle:
        Image.fromarray(grid_image(molecules, kept=kept)).save(handle, "PNG", optimize=True)


def _principal_view(pos: np.ndarray) -> np.ndarray:
    centred = pos - pos.mean(0)
    axes = np.linalg.svd(centred, full_matrices=True)[2]
    if np.linalg.det(axes) < 0:  # a picture must not turn a molecule into its mirror image
        axes[2] *= -1
    return centred @ axes.T


def _sticks(molecule: Molecule, pos: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
    for i, j, order in molecule.bond.tolist():
        along = pos[j] - pos[i]
        side = np.cross(along, [0.0, 0.0, 1.0])
        side /= np.linalg.norm(side) + 1e-9
        for offset in OFFSETS.get(order, (0.0,)):
            yield pos[i] + offset * side, pos[j] + offset * side, i, j


@dataclass(frozen=True)
class Canvas:
    """Colour `[S, S, 3]`, depth `[S, S]` in Å towards the viewer, and half the width in Å."""

    colour: np.ndarray
    depth: np.ndarray
    half: float

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        """The pixels of a box in Å: slices, and the x and y of their centres."""
        size = self.depth.shape[0]
        scale = size / (2 * self.half)
        left, right = (int(np.clip((v + self.half) * scale, 0, size)) for v in (low[0], high[0] + 1 / scale))
        top, bottom = (int(np.clip((self.half - v) * scale, 0, size)) for v in (high[1], low[1] - 1 / scale))
        x = (np.arange(left, right) + 0.5) / scale - self.half
        y = self.half - (np.arange(top, bottom) + 0.5) / scale
        return (slice(top, bottom), slice(left, right)), x[None, :], y[:, None]

    def paint(
        self, window: tuple[slice, slice], hit: np.ndarray, z: np.ndarray, normal: np.ndarray, rgb: tuple[float, ...]
    ) -> None:
        """Lit surface where it is hit and nearer than what is there; `normal [h, w, 3]`."""
        visible = hit & (z > self.depth[window])
        diffuse = np.maximum(normal[visible] @ LIGHT, 0)[:, None]
        self.colour[window][visible] = (0.35 + 0.65 * diffuse) * np.array(rgb) + 0.35 * diffuse**30
        self.depth[window][visible] = z[visible]


def _sphere(canvas: Canvas, centre: np.ndarray, radius: float, rgb: tuple[float, ...]) -> None:
    window, x, y = canvas.window(centre - radius, centre + radius)
    u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
    square = 1 - u**2 - v**2
    w = np.sqrt(np.maximum(square, 0))
    canvas.paint(window, square > 0, centre[2] + radius * w, np.stack(np.broadcast_arrays(u, v, w), -1), rgb)


def _cylinder(canvas: Canvas, start: np.ndarray, end: np.ndarray, radius: float, rgb: tuple[float, ...]) -> None:
    """Side of a cylinder: along the ray, |q - (q.d) d|^2 = r^2 with q = (u, v, w) from `start` is quadratic in w."""
    window, x, y = canvas.window(np.minimum(start, end) - radius, np.maximum(start, end) + radius)
    length = float(np.linalg.norm(end - start)) + 1e-9
    d = (end - start) / length
    u, v = np.broadcast_arrays(x - start[0], y - start[1])
    m, a = u * d[0] + v * d[1], 1 - d[2] ** 2 + 1e-9
    root = (m * d[2]) ** 2 - a * (u**2 + v**2 - m**2 - radius**2)
    w = (m * d[2] + np.sqrt(np.maximum(root, 0))) / a
    along = m + w * d[2]
    normal = (np.stack([u, v, w], -1) - along[..., None] * d) / radius
    canvas.paint(window, (root > 0) & (along >= 0) & (along <= length), start[2] + w, normal, rgb)


def _colour(z: int) -> tuple[float, ...]:
    return COLOURS.get(int(z), (0.8, 0.5, 0.8))
