"""Pictures of views and of the meshes made of them: a sheet with a row for each channel, and a turn around a mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.domains.image3d.light import Light
from scigen.domains.image3d.render import Look, draw
from scigen.domains.image3d.rig import CameraRig
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.views import Views
from scigen.io.atomic import atomic_file
from scigen.io.shape import Mesh

__all__ = ["turntable", "views_sheet", "write_gif", "write_png"]


def views_sheet(views: Views, subject: Subject | None = None, pixels: int = 128) -> np.ndarray:
    """RGB uint8: the views side by side, a row each of masks, normals, depths and colours; the picture before them."""
    inside = views.mask[..., None]
    rows = [np.repeat(inside, 3, -1)]
    if views.normal is not None:
        rows.append((views.normal + 1) / 2 * inside)
    if views.depth is not None:
        rows.append(np.repeat(views.rig.radius + 0.5 - views.depth[..., None], 3, -1) * inside)
    if views.colour is not None:
        rows.append(views.colour)
    sheet = np.concatenate([np.concatenate([_scaled(tile, pixels) for tile in row], 1) for row in rows])
    if subject is not None:
        left = np.full((len(sheet), pixels, 3), 255, np.uint8)
        left[:pixels] = _scaled(subject.rgb, pixels)
        sheet = np.concatenate([left, sheet], 1)
    return sheet


def turntable(mesh: Mesh, colours: np.ndarray, frames: int = 12, pixels: int = 160) -> np.ndarray:
    """The mesh with its vertex colours `[V, 3]` uint8 from all around, 20 degrees above: `[frames, N, N, 3]` uint8."""
    rig = CameraRig(tuple(360 * k / frames for k in range(frames)), (20.0,) * frames)
    look = Look(colours[mesh.faces].mean(1) / 255, Light())
    return np.stack([np.rint(255 * _on_white(*draw(mesh, pose, look, 2))) for pose in rig.poses(pixels)]).astype(
        np.uint8
    )


def write_png(path: Path, rgb: np.ndarray) -> None:
    """Write RGB uint8 as PNG, atomically. Raises ResourceError."""
    from PIL import Image

    with atomic_file(path) as handle:
        Image.fromarray(rgb).save(handle, "PNG", optimize=True)


def write_gif(path: Path, frames: np.ndarray, seconds: float = 2.4) -> None:
    """Write `[F, H, W, 3]` uint8 as an endless GIF that takes so long a turn. Raises ResourceError."""
    from PIL import Image

    images = [Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE) for frame in frames]
    with atomic_file(path) as handle:
        images[0].save(
            handle, "GIF", save_all=True, append_images=images[1:], duration=round(1000 * seconds / len(images)), loop=0
        )


def _on_white(colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return cover[..., None] * colour + (1 - cover[..., None])


def _scaled(tile: np.ndarray, pixels: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(np.rint(255 * tile.clip(0, 1)).astype(np.uint8))
    return np.asarray(image.resize((pixels, pixels), Image.Resampling.NEAREST))
