"""`scigen interpolate` as a library call: two files in, the meshes on the way between them out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scigen.domains.meshes.latent_file import LatentShapes
from scigen.domains.meshes.surface import Extracted
from scigen.domains.points.interpolation import interpolate
from scigen.domains.points.sampler import Plan, split
from scigen.domains.shapes.frame import Frame
from scigen.errors import InputError, NumericError
from scigen.run.draw import Model, category_index, decoded, scale_on
from scigen.run.encode_shapes import read_latents
from scigen.run.mesh_files import FORMATS, mesh_rows, placed, save_mesh, show_meshes
from scigen.run.report import sha256, write_run
from scigen.run.sample_meshes import latent_codec, mesh_decoder
from scigen.run.sample_points import clear_numbered
from scigen.run.weights import Weights

__all__ = ["Between", "Outcome", "between", "write_outcome"]


@dataclass(frozen=True)
class Between:
    """What a user asks for: `n` meshes from the shape in one file to that in another, on a grid of `size`^3 cells."""

    first: Path
    last: Path
    n: int
    plan: Plan
    category: str | None = None
    size: int = 96
    device: str = "cpu"
    decoder: str | None = None


@dataclass(frozen=True)
class Outcome:
    """Meshes of the unit frame by number, their frames, what failed and why, and seconds.

    `returned` is the error of inversion at both ends, in units of a coordinate's standard deviation.
    """

    meshes: dict[int, Extracted]
    frames: dict[int, Frame]
    failed: Mapping[int, str]
    returned: tuple[float, float]
    timings: dict[str, float]


def between(model: Model, request: Between) -> Outcome:
    """Encode both shapes, the latents of the second where those of the first lead to, walk between them, decode.

    Raises `InputError` for files that hold no shape or several, `UsageError` for a class that the weights do not know,
    and `NumericError` when not one shape on the way has a surface.
    """
    codec, scale, began = latent_codec(model), scale_on(model.weights, "scale"), time.perf_counter()
    network, category = model.weights.network.to(request.device), category_index(model.weights, request.category)
    first = _end(request.first, codec, request.device)
    last = _end(request.last, codec, request.device, first.latents["pos"])
    known = {} if category is None else {"category": torch.full((1,), category, device=request.device)}
    a, b = (scale.enter(end.latents.map(lambda v: v.to(request.device))).replace(**known) for end in (first, last))
    way = interpolate(network, request.plan, a, b, request.n)
    decoder, drawn = mesh_decoder(codec, request.size, request.device, request.decoder), time.perf_counter()
    found = {one.index: decoded(one, decoder) for one in split(scale.leave(way.shapes), range(request.n))}
    meshes = {k: mesh for k, (mesh, _) in found.items() if mesh is not None}
    failed = {k: reason or "" for k, (mesh, reason) in found.items() if mesh is None}
    if not meshes:
        raise NumericError(f"None of {request.n} shapes on the way has a surface (the first: {failed[0]}).")
    places = {k: _on_the_way(first.frames[0], last.frames[0], k / (request.n - 1)) for k in meshes}
    timings = {"draw": drawn - began, "decode": time.perf_counter() - drawn}
    return Outcome(meshes, places, failed, way.returned, timings)


def write_outcome(
    outcome: Outcome, request: Between, model: Model, config: dict[str, Any], folder: Path, suffix: str = "glb"
) -> dict[str, Any]:
    """Write `between_<number>.<suffix>`, the picture, the page and `run.json`; what is said of them."""
    clear_numbered(folder, "between", FORMATS)
    files = [f"between_{k:03}.{suffix}" for k in outcome.meshes]
    for name, k in zip(files, outcome.meshes, strict=True):
        save_mesh(folder / name, placed(outcome.meshes[k].mesh, outcome.frames[k]))
    title = f"{request.first.name} to {request.last.name}"
    show_meshes(folder, "interpolation", {f"{k}": one.mesh for k, one in outcome.meshes.items()}, title)
    document = {
        "ends": [{"file": path.name, "sha256": sha256(path)} for path in (request.first, request.last)],
        "returned": list(outcome.returned),
        "failed": dict(outcome.failed),
        "meshes": mesh_rows(files, list(outcome.meshes.values())),
    }
    codec = latent_codec(model).path
    write_run(
        folder, config, None, model.weights.path, outcome.timings,
        codec={"file": codec.name, "sha256": sha256(codec)}, **document,
    )  # fmt: skip
    return document


def _end(path: Path, codec: Weights, device: str, near: Tensor | None = None) -> LatentShapes:
    shapes = read_latents(path, codec, device, near)
    if len(shapes) != 1:
        raise InputError(f"`{path}` holds {len(shapes)} shapes, and one is an end; encode that one alone.")
    return shapes


def _on_the_way(a: Frame, b: Frame, share: float) -> Frame:
    """Centres move evenly, sizes by even ratios."""
    scale = float(np.exp((1 - share) * np.log(a.scale) + share * np.log(b.scale)))
    return Frame((1 - share) * a.center + share * b.center, scale)
