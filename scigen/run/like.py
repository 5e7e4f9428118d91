"""`--like`, `--strength` and `--keep-latents`: the shape that others are drawn from, and what of it stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scigen.domains.points.variations import Original
from scigen.domains.shapes.frame import Frame
from scigen.errors import InputError, UsageError
from scigen.run.encode_shapes import read_latents
from scigen.run.report import sha256
from scigen.run.weights import Weights
from scigen.state import State

__all__ = ["STRENGTH", "Beginning", "beginning", "held"]

STRENGTH = 0.4  # of --like alone; with --keep-latents the rest is drawn from noise
_SIDE = re.compile(r"([xyz])([<>])(-?\d+(?:\.\d*)?|-?\.\d+)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Beginning:
    """The shape to begin from, the frame back to its units, and what `run.json` says of both."""

    original: Original
    frame: Frame
    facts: dict[str, Any]


def beginning(path: Path, codec: Weights, strength: float | None, keep: str | None, device: str = "cpu") -> Beginning:
    """The shape in `path`, with what of it stays.

    Raises `InputError` for a file that holds no shape or several, `UsageError` for what `held` refuses.
    """
    shapes = read_latents(path, codec, device)
    if len(shapes) != 1:
        raise InputError(f"`{path}` holds {len(shapes)} shapes, and one is begun from; encode that one alone.")
    latents = shapes.one(0)
    kept = {} if keep is None else held(keep, latents)
    strength = (1.0 if kept else STRENGTH) if strength is None else strength
    facts = {"file": path.name, "sha256": sha256(path), "strength": strength, "keep_latents": keep}
    return Beginning(Original(latents, strength, kept), shapes.frames[0], facts)


def held(text: str, latents: State) -> Mapping[str, Tensor]:
    """The latent points that `--keep-latents` names, as masks `[K]` by field.

    Words parted by commas: numbers and ranges (`0-7,12`), or a side in the unit frame (`y>0.1`); all of them are held.
    `positions` holds the places of all and draws their features anew. Raises `UsageError` for other words, numbers
    beyond the last latent point, and words that hold none.
    """
    pos = latents["pos"][0]
    mask = torch.zeros(len(pos), dtype=torch.bool)
    if text.strip() == "positions":
        return {"pos": ~mask}
    for word in text.replace(" ", "").split(","):
        if side := _SIDE.fullmatch(word):
            value = pos[:, "xyz".index(side[1])]
            mask |= value > float(side[3]) if side[2] == ">" else value < float(side[3])
        elif numbers := _RANGE.fullmatch(word):
            first, last = int(numbers[1]), int(numbers[2] or numbers[1])
            if last >= len(pos) or first > last:
                raise UsageError(f"--keep-latents {word}: the latent points are 0 to {len(pos) - 1}.")
            mask[first : last + 1] = True
        else:
            raise UsageError(f"--keep-latents {word}: give numbers (0-7,12), a side (y>0.1), or `positions`.")
    if not mask.any():
        low, high = pos.amin(0).tolist(), pos.amax(0).tolist()
        box = ", ".join(f"{axis} {a:.2f} to {b:.2f}" for axis, a, b in zip("xyz", low, high))
        raise UsageError(f"--keep-latents {text}: no latent point lies there; they span {box}.")
    return {"pos": mask, "feat": mask}
