"""Rendered views of a collection in one file: pictures of every shape, and the views a prior is to imagine.

Normals are int8, depth and mask share 16 bits (0 is empty, the lowest 4 bits are the coverage), pictures are uint8 with
their coverage as opacity: 5 bytes a target pixel, 4 an input pixel, and the archive is compressed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from scigen.cache import cache_dir
from scigen.domains.image3d.rig import CUBE, CameraRig, Viewpoint
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.views import Views
from scigen.domains.shapes.sets import SPLITS
from scigen.errors import InputError
from scigen.io.npz import read_npz, write_npz

__all__ = [
    "MEMORY", "ViewSet", "load_views", "pack_depth", "save_views", "shipped_views", "unpack_depth", "views_path",
]  # fmt: skip

MEMORY = "procedural-memory"  # the set that the package carries
_STEPS, _COVER = 4095, 15  # 12 bits of depth, 4 bits of coverage
_MAX_BYTES = 16_000_000_000


@dataclass(frozen=True)
class ViewSet:
    """M shapes seen by the cube rig at N x N pixels, and I pictures of each from any side, framed as `subject` does."""

    name: str
    licence: str
    categories: tuple[str, ...]
    ids: np.ndarray  # [M] str
    category: np.ndarray  # [M] int32, into `categories`
    split: np.ndarray  # [M] uint8, into SPLITS
    normal: np.ndarray  # [M, V, N, N, 3] int8
    depth: np.ndarray  # [M, V, N, N] uint16, depth and coverage
    picture: np.ndarray  # [M, I, N, N, 4] uint8
    azimuth: np.ndarray  # [M, I] float32, where the pictures were taken from, degrees
    elevation: np.ndarray  # [M, I] float32

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rig(self) -> CameraRig:
        """The rig of the targets."""
        return CUBE

    def views(self, k: int) -> Views:
        """The true views of shape k."""
        mask, depth = unpack_depth(self.depth[k], self.rig)
        normal = self.normal[k].astype(np.float32)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1)
        return Views(self.rig, mask, normal, depth)

    def subject(self, k: int, i: int) -> Subject:
        """Picture i of shape k, without its background."""
        pixels = self.picture[k, i].astype(np.float32) / 255
        inside = pixels[..., 3:] > 0
        return Subject(np.where(inside, pixels[..., :3], 1.0).astype(np.float32), pixels[..., 3])

    def seen(self, k: int, i: int) -> Viewpoint:
        """Where picture i of shape k was taken from."""
        return Viewpoint(float(self.azimuth[k, i]), float(self.elevation[k, i]))

    def where(self, split: str) -> np.ndarray:
        """Positions of the shapes of one split, ascending. Raises InputError for another name."""
        if split not in SPLITS:
            raise InputError(f"Unknown split '{split}'; choose one of {', '.join(SPLITS)}.")
        return np.flatnonzero(self.split == SPLITS.index(split))

    def content_hash(self) -> str:
        """SHA-256 over names and arrays in field order."""
        digest = hashlib.sha256("\n".join([self.name, self.licence, *self.categories]).encode())
        for field in fields(self)[3:]:
            digest.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return digest.hexdigest()


def pack_depth(mask: np.ndarray, depth: np.ndarray, rig: CameraRig) -> np.ndarray:
    """Coverage in 15 steps and, 4096 steps over the diameter, depth: uint16, 0 where nothing is seen."""
    cover = np.where(mask > 0, np.maximum(np.rint(_COVER * mask), 1), 0).astype(np.uint16)
    steps = np.rint(_STEPS * np.clip(depth - rig.radius + 0.5, 0, 1)).astype(np.uint16)
    return np.where(cover > 0, (steps << 4) | cover, 0).astype(np.uint16)


def unpack_depth(packed: np.ndarray, rig: CameraRig) -> tuple[np.ndarray, np.ndarray]:
    """Mask and depth, float32; exact to 1/30 of a pixel and 1/8190 of the diameter."""
    mask = (packed & _COVER).astype(np.float32) / _COVER
    depth = (packed >> 4).astype(np.float32) / _STEPS + np.float32(rig.radius - 0.5)
    return mask, np.where(mask > 0, depth, np.float32(rig.radius)).astype(np.float32)


def views_path(name: str) -> Path:
    """Where the views of a collection are kept."""
    return cache_dir() / "views" / f"{name}.npz"


def shipped_views() -> dict[str, Path]:
    """The sets inside the package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "assets").glob("*.npz"))}


def save_views(path: Path, views: ViewSet) -> None:
    """Write a set atomically, compressed. Raises ResourceError."""
    words = {"name": np.array(views.name), "licence": np.array(views.licence), "categories": np.array(views.categories)}
    write_npz(path, words | {field.name: getattr(views, field.name) for field in fields(views)[3:]})


def load_views(source: str | Path) -> ViewSet:
    """A set by its name, shipped or in the cache, or by its path.

    Raises InputError when there is none, or it is not one.
    """
    named = isinstance(source, str) and not source.endswith(".npz")
    path = shipped_views().get(str(source)) or views_path(str(source)) if named else Path(source)
    if not path.is_file():
        raise InputError(
            f"No views at '{path}'; make them with `scigen data prepare views {path.stem}`, or name the shipped"
            f" '{MEMORY}'."
        )
    try:
        arrays: dict[str, Any] = dict(read_npz(path, max_bytes=_MAX_BYTES))
        arrays |= {"name": str(arrays["name"]), "licence": str(arrays["licence"])}
        arrays["categories"] = tuple(arrays["categories"].tolist())
        views = ViewSet(**{field.name: arrays[field.name] for field in fields(ViewSet)})
    except (KeyError, InputError, TypeError) as error:
        raise InputError(_refusal(path, str(error).rstrip("."))) from None
    if not _fits(views):
        raise InputError(_refusal(path, "its arrays do not fit together"))
    return views


def _refusal(path: Path, why: str) -> str:
    return f"'{path}' does not hold rendered views ({why}); rebuild it with `scigen data prepare views`."


def _fits(s: ViewSet) -> bool:
    m, v, n, i = len(s.ids), len(s.rig), s.depth.shape[-1], s.azimuth.shape[-1]
    shapes = {
        "ids": (m,), "category": (m,), "split": (m,), "normal": (m, v, n, n, 3), "depth": (m, v, n, n),
        "picture": (m, i, n, n, 4), "azimuth": (m, i), "elevation": (m, i),
    }  # fmt: skip
    kinds = {"normal": np.int8, "depth": np.uint16, "picture": np.uint8}
    return (
        all(getattr(s, name).shape == shape for name, shape in shapes.items())
        and all(getattr(s, name).dtype == kind for name, kind in kinds.items())
        and bool(m and (s.split < len(SPLITS)).all() and (s.category < len(s.categories)).all())
    )
