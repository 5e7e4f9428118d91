"""Latent shapes as a file: what `scigen encode` leaves, people edit, and `scigen decode` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scigen.domains.shapes.frame import Frame
from scigen.errors import InputError
from scigen.io.npz import read_npz, write_npz
from scigen.state import State

__all__ = ["LatentShapes", "load_shapes_file", "save_shapes_file"]

_ARRAYS = {"pos": 3, "feat": 3, "center": 2, "scale": 1, "ids": 1, "codec": 0}  # their axes


@dataclass(frozen=True)
class LatentShapes:
    """M shapes: `pos [M, K, 3]` and `feat [M, K, F]` in the unit frame, the frames back to their files, their names.

    `codec` is the SHA-256 of the encoder they came from: decoders for another cannot read the features.
    """

    latents: State
    frames: Sequence[Frame]
    ids: Sequence[str]
    codec: str

    def __len__(self) -> int:
        return len(self.ids)

    def one(self, k: int) -> State:
        """Shape k as a batch of one."""
        return self.latents.map(lambda x: x[k : k + 1])


def save_shapes_file(path: Path, shapes: LatentShapes) -> None:
    """Write the arrays `pos`, `feat`, `center [M, 3]`, `scale [M]`, `ids [M]` and `codec`. Raises ResourceError."""
    frames = shapes.frames
    arrays = {name: shapes.latents[name].cpu().numpy() for name in ("pos", "feat")}
    arrays |= {"center": np.stack([f.center for f in frames]), "scale": np.array([f.scale for f in frames])}
    write_npz(path, arrays | {"ids": np.array(shapes.ids), "codec": np.array(shapes.codec)})


def load_shapes_file(path: Path) -> LatentShapes:
    """What `save_shapes_file` wrote, edited or not. Raises `InputError` for anything else."""
    arrays = read_npz(path)
    if missing := set(_ARRAYS) - set(arrays):
        raise InputError(f"`{path}` lacks {', '.join(sorted(missing))}: no latent shapes; encode some first.")
    count = len(arrays["ids"]) if arrays["ids"].ndim else 0
    fits = count > 0 and all(arrays[name].ndim == axes for name, axes in _ARRAYS.items())
    fits = fits and all(len(arrays[name]) == count for name, axes in _ARRAYS.items() if axes)
    fits = fits and all(arrays[name].dtype.kind in "fiu" for name in ("pos", "feat", "center", "scale"))
    fits = fits and arrays["pos"].shape[1:] == (arrays["feat"].shape[1], 3) and arrays["center"].shape[1] == 3
    if not fits or not (arrays["scale"] > 0).all():
        shapes = ", ".join(f"{name} {list(arrays[name].shape)}" for name in _ARRAYS)
        raise InputError(f"`{path}`: the arrays of its shapes do not fit together ({shapes}); encode them again.")
    ids = [str(name) for name in arrays["ids"]]
    if odd := [name for name in ids if name != Path(name).name or name.startswith(".")]:
        raise InputError(f"`{path}`: the name '{odd[0]}' names no file; give plain names.")
    fields = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in ("pos", "feat")}
    frames = [Frame(c, float(s)) for c, s in zip(arrays["center"].astype(np.float64), arrays["scale"])]
    mask = torch.ones(fields["pos"].shape[:2], dtype=torch.bool)
    return LatentShapes(State(fields, mask), frames, ids, str(arrays["codec"]))
