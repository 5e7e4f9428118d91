"""Pictures of meshes and clouds in the unit frame: an orthographic three-quarter view with a depth buffer, in numpy.

Meshes are shaded flat and coloured by part, clouds are drawn as small balls. All pictures show the same window, that of
the unit sphere, so that shapes side by side compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scigen.io.atomic import atomic_file
from scigen.io.shape import Cloud, Mesh

__all__ = ["contact_sheet", "shape_picture", "view_rotation", "write_contact_sheet"]

HALF = 0.52  # half the width of the window, unit frame
SMOOTH = 2  # supersampling
PAIRS = 1 << 21  # (triangle, pixel) pairs tested at once: 150 MB
LIGHT = np.array([-0.45, 0.62, 0.65]) / np.linalg.norm([-0.45, 0.62, 0.65])  # in the viewer's axes
INK, PLAIN, INSIDE = (40, 44, 52), (0.72, 0.75, 0.80), (0.85, 0.35, 0.30)
PARTS = np.array(
    [
        (0.49, 0.66, 0.83), (0.93, 0.67, 0.40), (0.56, 0.76, 0.53), (0.86, 0.49, 0.47), (0.69, 0.60, 0.81),
        (0.72, 0.60, 0.50), (0.90, 0.66, 0.79), (0.66, 0.68, 0.72), (0.83, 0.80, 0.45), (0.47, 0.76, 0.78),
    ]
)  # fmt: skip
FAR, NEAR = np.array([0.20, 0.38, 0.70]), np.array([0.98, 0.82, 0.50])


def view_rotation(azimuth: float = 35.0, elevation: float = 22.0) -> np.ndarray:
    """Rows right, up and towards the viewer of a camera turned `azimuth` degrees from +z to +x and raised, `[3, 3]`."""
    a, e = np.radians([azimuth, elevation])
    towards = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return np.stack([right, np.cross(towards, right), towards])


def shape_picture(shape: Mesh | Cloud, pixels: int = 200, view: np.ndarray | None = None) -> np.ndarray:
    """RGB picture `[pixels, pixels, 3]` uint8 of a shape in the unit frame, by default from the front, right and above.

    Triangles seen from behind are red: in a picture of a closed, well-oriented mesh there are none.
    """
    if not len(shape.faces if isinstance(shape, Mesh) else shape):
        return np.full((pixels, pixels, 3), 255, np.uint8)
    size = pixels * SMOOTH
    view = view_rotation() if view is None else view
    layers = _mesh_layers(shape, view, size) if isinstance(shape, Mesh) else _cloud_layers(shape, view, size)
    colour, normal, depth = layers
    hit = np.isfinite(depth)
    diffuse = np.maximum(normal @ LIGHT, 0)[..., None]
    lit = ((0.42 + 0.62 * diffuse) * colour + 0.12 * diffuse**24) * _crevices(depth)[..., None]
    image = np.where(hit[..., None], lit, 1.0)
    return (image.reshape(pixels, SMOOTH, pixels, SMOOTH, 3).mean((1, 3)).clip(0, 1) * 255).astype(np.uint8)


def contact_sheet(
    rows: Sequence[Sequence[Mesh | Cloud]],
    labels: Sequence[str] = (),
    pixels: int = 160,
    view: np.ndarray | None = None,
) -> np.ndarray:
    """Pictures of each row of shapes side by side, the row's label to their left, RGB uint8."""
    from PIL import Image, ImageDraw, ImageFont

    margin = 14 + 7 * max((len(text) for text in labels), default=-2)
    columns = max((len(row) for row in rows), default=0)
    sheet = np.full((len(rows) * pixels, margin + columns * pixels, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, shape in enumerate(row):
            left = margin + j * pixels
            sheet[i * pixels : (i + 1) * pixels, left : left + pixels] = shape_picture(shape, pixels, view)
    image = Image.fromarray(sheet)
    pen = ImageDraw.Draw(image)
    for i, text in enumerate(labels):
        pen.text((8, (i + 0.5) * pixels), text, fill=INK, font=ImageFont.load_default(13), anchor="lm")
    return np.asarray(image)


def write_contact_sheet(
    path: str | Path,
    rows: Sequence[Sequence[Mesh | Cloud]],
    labels: Sequence[str] = (),
    pixels: int = 160,
    view: np.ndarray | None = None,
) -> None:
    """Write `contact_sheet` as a PNG of 256 colours. Raises `ResourceError` when it cannot be written."""
    from PIL import Image

    image = Image.fromarray(contact_sheet(rows, labels, pixels, view)).quantize(256, dither=Image.Dither.NONE)
    with atomic_file(path) as handle:
        image.save(handle, "PNG", optimize=True)


def _mesh_layers(mesh: Mesh, view: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    corners = (mesh.vertices.astype(np.float64) @ view.T)[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-30
    colour = np.full((len(corners), 3), PLAIN) if mesh.part is None else PARTS[mesh.part % len(PARTS)]
    behind = normal[:, 2] < 0
    colour = np.where(behind[:, None], INSIDE, colour)
    normal[behind] *= -1
    depth, owner = np.full(size * size, -np.inf), np.zeros(size * size, np.int64)
    for face, pixel, z in _fragments(_to_pixels(corners, size), size):
        np.maximum.at(depth, pixel, z)
        seen = z == depth[pixel]
        owner[pixel[seen]] = face[seen]
    square = (size, size)
    return colour[owner].reshape(*square, 3), normal[owner].reshape(*square, 3), depth.reshape(square)


def _to_pixels(points: np.ndarray, size: int) -> np.ndarray:
    """Columns to the right, rows downwards, depth in pixels towards the viewer."""
    return points * [1, -1, 1] * (size / (2 * HALF)) + [size / 2, size / 2, 0]


def _fragments(corners: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Triangle, pixel and depth wherever the centre of a pixel lies in a triangle, by batches of triangles."""
    low = np.ceil(corners[..., :2].min(1) - 0.5).clip(0, size).astype(np.int64)
    wide = (np.floor(corners[..., :2].max(1) - 0.5).clip(-1, size - 1).astype(np.int64) - low + 1).clip(0)
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    count = wide.prod(1) * (np.abs(cross) > 1e-9)
    ends = np.cumsum(count)
    batches = np.searchsorted(ends, np.arange(PAIRS, int(ends[-1]), PAIRS))
    for batch in np.split(np.arange(len(corners)), batches):
        face = np.repeat(batch, count[batch])
        within = np.arange(len(face)) - np.repeat(np.cumsum(count[batch]) - count[batch], count[batch])
        column, row = low[face, 0] + within % wide[face, 0], low[face, 1] + within // wide[face, 0]
        x, y = column + 0.5 - a[face, 0], row + 0.5 - a[face, 1]
        b = (x * v[face, 1] - y * v[face, 0]) / cross[face]
        c = (y * u[face, 0] - x * u[face, 1]) / cross[face]
        inside = (b >= 0) & (c >= 0) & (b + c <= 1)
        z = (a[face, 2] + b * u[face, 2] + c * v[face, 2])[inside]
        yield face[inside], (row * size + column)[inside], z


def _cloud_layers(cloud: Cloud, view: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = cloud.points.astype(np.float64) @ view.T
    radius = size * float(np.clip(0.5 / np.sqrt(len(cloud)), 0.008, 0.03))
    reach = np.arange(-int(radius), int(radius) + 1)
    dx, dy = (d.ravel() for d in np.meshgrid(reach, reach))
    bulge = radius**2 - dx**2 - dy**2
    dx, dy, bulge = dx[bulge > 0], dy[bulge > 0], np.sqrt(bulge[bulge > 0])
    at = _to_pixels(points, size)
    column = np.floor(at[:, :1]).astype(np.int64) + dx
    row = np.floor(at[:, 1:2]).astype(np.int64) + dy
    kept = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    pixel, z = (row * size + column)[kept], (at[:, 2:] + bulge)[kept]
    depth, owner = np.full(size * size, -np.inf), np.zeros((size * size, 2), np.int64)
    np.maximum.at(depth, pixel, z)
    seen = z == depth[pixel]
    owner[pixel[seen]] = np.stack(kept.nonzero(), 1)[seen]
    near = (points[:, 2:] + 0.5).clip(0, 1)
    colour = (FAR + near * (NEAR - FAR))[owner[:, 0]]
    ball = np.stack([dx, -dy, bulge], 1) / radius
    normal = ball[owner[:, 1]]
    if cloud.normals is not None:
        normal = (cloud.normals @ view.T)[owner[:, 0]]
        normal = normal * np.where(
            normal[:, 2:] < 0, -1, 1
        )  # the far side shows through gaps: light it like the near one
    return colour.reshape(size, size, 3), normal.reshape(size, size, 3), depth.reshape(size, size)


def _crevices(depth: np.ndarray) -> np.ndarray:
    """1 where nothing nearer is beside a pixel, less where its neighbours rise above it (Boucheny 2009), `[S, S]`."""
    rise, reach = np.zeros_like(depth), max(1, len(depth) // 200)
    back = np.where(np.isfinite(depth), depth, depth.min(initial=0.0, where=np.isfinite(depth)) - len(depth))
    for axis in (0, 1):
        for step in (-reach, reach):
            rise += np.clip((np.roll(back, step, axis) - back) / len(depth) - 0.004, 0, 0.06)
    return np.exp(-5 * rise)
