"""`scigen sample meshes --from-coarse` as a library call: a bridge from a coarse mesh's latent points to detail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from scigen.domains.meshes.decode import MeshDecoder
from scigen.domains.meshes.surface import Extracted
from scigen.domains.points.bridge import repeated
from scigen.domains.points.complete import own_frame, seen_from
from scigen.domains.points.sampler import Drawn, by_batches
from scigen.domains.shapes.frame import Frame
from scigen.errors import InputError, NumericError
from scigen.run.codec_of import matching_codec
from scigen.run.complete import Request as Bridging
from scigen.run.complete import drawing
from scigen.run.draw import Failure, Model, Outcome, Progress, Request, decoded
from scigen.run.encode_shapes import read_latents
from scigen.run.mesh_files import placed
from scigen.run.weights import Weights, read
from scigen.state import State

__all__ = ["coarse_start", "detail_meshes", "detail_model", "in_place"]

_UNIT = Frame(np.zeros(3), 1.0)


def detail_model(weights: str, codec: str | None) -> tuple[Model, Weights]:
    """A bridge by name or file, and its codec. Raises `InputError` when one of them is something else."""
    loaded = read(weights)
    if (domain := loaded.card.get("domain")) != "meshes-detail":
        raise InputError(f"The weights '{loaded.path}' are for {domain}, no detail; give those of `meshes/detail`.")
    coder = matching_codec(loaded, codec)
    return Model(loaded, coder), coder


def coarse_start(path: Path, codec: Weights, device: str = "cpu") -> tuple[State, Frame]:
    """The coarse shape in `path` as latent points, and the frame back to its units. Raises as `read_latents` does.

    Raises `InputError` too for a file that holds several shapes.
    """
    shapes = read_latents(path, codec, device)
    if len(shapes) != 1:
        raise InputError(f"`{path}` holds {len(shapes)} shapes, and one is begun from; encode that one alone.")
    return shapes.one(0), shapes.frames[0]


def detail_meshes(
    model: Model,
    request: Request,
    decoder: MeshDecoder,
    progress: Progress,
    failure: Failure = lambda drawn: None,
    *,
    start: State,
    mode: str,
) -> Outcome[Extracted]:
    """Detailed meshes in the unit frame of the coarse one, whose latents are `start`.

    `mode` is `sde`, `ode` or `regress`, as of completion. Draw k of a seed does not depend on how many are drawn.
    Raises `InputError` for a card that lacks what is needed, and `NumericError` when no draw can be used.
    """
    draw = drawing(model.weights, Bridging(mode=mode, steps=request.plan.steps, device=request.device))
    began = time.perf_counter()
    indices = list(dict.fromkeys(request.indices or range(request.n)))

    def around(count: int, rngs: Sequence[torch.Generator]) -> State:
        return draw(repeated(start, count), rngs)

    shapes: dict[int, Extracted] = {}
    failed: list[Drawn] = []
    for group in by_batches(around, indices, request.seed, request.batch):
        for one in group:
            found, reason = decoded(one, lambda x: in_place(decoder, x))
            if found is not None:
                shapes[one.index] = found
                continue
            failed.append(Drawn(one.index, None, reason))
            failure(failed[-1])
        progress("sampling", len(shapes) + len(failed), len(indices))
    if not shapes:
        raise NumericError(f"None of {len(indices)} draws can be used (the first: {failed[0].reason}).")
    return Outcome(dict(sorted(shapes.items())), failed, {"detail": time.perf_counter() - began})


def in_place(decoder: MeshDecoder, latents: State) -> Extracted:
    """Latents that need not fill the unit frame, decoded in a frame of their own, where the codec knows them."""
    own = own_frame(latents)
    found = decoder(seen_from(latents, [_UNIT], [own]))
    return replace(found, mesh=placed(found.mesh, own))
