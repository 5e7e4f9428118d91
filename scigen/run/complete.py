"""`scigen complete` as a library call: one partial shape in, ranked whole ones out, in the units of the file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from scigen.domains.points.bridge import Start, draw_ode, draw_sde, observed, regress
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.complete import Completion, Draw, Fit, Poses, bridged, complete, looking
from scigen.domains.points.fit import fitted
from scigen.domains.points.memory import Memory, remembered, unpacked
from scigen.domains.points.pose import poses
from scigen.domains.points.sampler import Plan, noised_belief
from scigen.domains.shapes.frame import bounding_frame
from scigen.domains.shapes.picture import write_contact_sheet
from scigen.errors import InputError, UsageError
from scigen.io.clouds import write_ply
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.process.affine import rectified
from scigen.run.codec_of import matching_codec
from scigen.run.draw import category_index, scale_on
from scigen.run.mesh_files import FORMATS
from scigen.run.partial import Partial
from scigen.run.report import sha256, write_run
from scigen.run.sample_points import clear_numbered
from scigen.run.weights import Weights
from scigen.solver.dpm import dpmpp_2m
from scigen.solver.loop import ancestral
from scigen.state import Rng, State

__all__ = [
    "FIT", "Bridge", "Outcome", "Request", "check_request", "complete_partial", "drawing", "fitting", "load_bridge",
    "pose_finder", "ranking", "start_of", "write_outcome",
]  # fmt: skip

_SOLVERS = {"sde": ancestral, "ode": dpmpp_2m}
_SHOWN = 7  # completions in the picture
FIT = 20
_POSES = 4  # that an unknown one may be


@dataclass(frozen=True)
class Bridge:
    """Weights of the bridge, and of the codec they belong to."""

    weights: Weights
    codec: Weights


@dataclass(frozen=True)
class Request:
    """What a user asks for: n completions, how they are drawn, and of how many points each decoded shape is.

    `mode` is `sde`, `ode`, or `regress`, a bridge's answer in one evaluation, the same for every draw. With `keep` the
    observed points stay and decoded ones fill the rest; without, the decoded shape stands alone. In an `unknown_pose`
    the draws take in turn the poses that remembered scans suggest. `fit` steps lead every draw to the observed points.
    """

    n: int = 4
    seed: int = 0
    mode: str = "sde"
    steps: int = 10
    points: int = 8192
    category: str | None = None
    keep: bool = True
    device: str = "cpu"
    unknown_pose: bool = False
    fit: int = FIT


@dataclass(frozen=True)
class Outcome:
    """Completions in the unit frame of the partial shape, best first; draws that failed and why; seconds."""

    ranked: list[Completion]
    failed: Mapping[int, str]
    timings: dict[str, float]


def load_bridge(weights: Weights, codec: str | None) -> Bridge:
    """The codec that goes with the weights. Raises `InputError` when one of them is something else or not whole."""
    if (domain := weights.card.get("domain")) != "points-bridge":
        raise InputError(f"The weights '{weights.path}' are for {domain}, not for completion; choose others.")
    start_of(weights)  # looked at before a folder is taken
    return Bridge(weights, matching_codec(weights, codec))


def check_request(weights: Weights, request: Request) -> None:
    """Raise what `complete_partial` would of a class, or a pose, that the weights cannot know."""
    category_index(weights, request.category)
    if request.unknown_pose:
        pose_finder(weights)


def complete_partial(bridge: Bridge, partial: Partial, request: Request) -> Outcome:
    """Draw, decode and rank. Draw k of a seed does not depend on n.

    Raises `UsageError` for a class the weights do not know or an unknown pose where they remember nothing, `InputError`
    for a card that lacks what is needed or a partial shape of fewer points than the codec has latents, and
    `NumericError` when no draw is finite.
    """
    way = pose_finder(bridge.weights) if request.unknown_pose else None
    draw, began = drawing(bridge.weights, request), time.perf_counter()
    codec = CloudCodec(cast(PointCodec, bridge.codec.network).to(request.device), request.points)
    if len(partial.seen) < (least := codec.network.shape.latents):
        raise InputError(
            f"{len(partial.seen)} points are fewer than the {least} latent points of the codec; scan more."
        )
    fit = fitting(codec, request.fit)
    done = complete(partial.seen, codec, draw, request.n, request.seed, request.keep, way, fit)
    return Outcome(done.ranked, done.failed, {"complete": time.perf_counter() - began})


def drawing(weights: Weights, request: Request) -> Draw:
    """The draws of a bridge, or of the conditional diffusion that was trained in its place (`start: noise`).

    Raises `UsageError` for a class the weights do not know and for the regression of a diffusion, and `InputError` for
    a card that lacks what is needed.
    """
    category, network = category_index(weights, request.category), weights.network.to(request.device)

    def known(x: State) -> State:
        if category is None:
            return x
        return x.replace(category=torch.full((len(x.mask),), category, device=x.mask.device))

    scale = scale_on(weights, "scale")
    if weights.card.get("start") == "noise":
        if request.mode not in _SOLVERS:
            raise UsageError(f"'{weights.path}' starts from noise and has no regression; draw by sde or ode.")
        plan = Plan(rectified(), _SOLVERS[request.mode], request.steps)
        return looking(lambda x, rng: noised_belief(network, plan, known(x), rng), scale)
    spread = scale_on(weights, "spread")

    def walk(x1: State, rng: Rng) -> State:
        if request.mode == "regress":
            return regress(network, spread, known(x1))
        return {"sde": draw_sde, "ode": draw_ode}[request.mode](network, spread, known(x1), rng, request.steps)

    return bridged(walk, scale, start_of(weights, _POSES if request.unknown_pose else 1))


def fitting(codec: CloudCodec, steps: int) -> Fit | None:
    """`fitted` by the decoder of a codec; None for no steps."""
    decoder = codec.network.decoder
    return (lambda latents, seen: fitted(decoder, latents, seen, steps)) if steps else None


def pose_finder(weights: Weights) -> Poses:
    """The poses in which the memory of a bridge knows scans like one that is given, at most four.

    Raises `UsageError` for weights that remember nothing, and `InputError` for a memory that cannot be used.
    """
    if weights.card.get("start") != "remembered":
        raise UsageError(f"'{weights.path}' remembers no scans to find a pose by; give weights of `start: remembered`.")
    memory, scale = _memory(weights), scale_on(weights, "scale")
    return lambda seen: poses(memory, scale.enter(seen)["pos"][0], _POSES)


def start_of(weights: Weights, ways: int = 1) -> Start:
    """What a bridge sets out from, as its card says, for draws in turn from a scan turned in `ways`.

    Raises `InputError` for a memory that cannot be used.
    """
    if weights.card.get("start") != "remembered":
        return observed
    return remembered(_memory(weights), ways)


def _memory(weights: Weights) -> Memory:
    try:
        memory = unpacked(weights.kept)
        found, wanted = memory.feat.shape[1:], (weights.card["codec"]["latents"], weights.card["network"]["features"])
        if found != wanted:
            raise ValueError(f"its latent points are {tuple(found)} and the codec's {wanted}")
    except ValueError as error:
        raise InputError(
            f"The memory in '{weights.path}' cannot be used ({error}); train and export it again."
        ) from None
    return memory


def write_outcome(
    outcome: Outcome,
    partial: Partial,
    request: Request,
    bridge: Bridge,
    config: dict[str, Any],
    source: Path,
    folder: Path,
) -> None:
    """Write `completion_<rank>.ply`, `completions.png` with the input first, and `run.json` with the ranking.

    Every PLY has the columns `observed` (1 where the point is the file's own) and, of two draws or more,
    `uncertainty`, in the units of the file. Completions of an earlier run in the folder go.
    """
    file = {"file": source.name, "sha256": sha256(source)}
    clear_numbered(folder, "completion", FORMATS)
    for rank, one in enumerate(outcome.ranked, start=1):
        cloud, observed = _restored(one, partial, request.keep)
        extra = {"observed": observed}
        if one.uncertainty is not None:
            unsure = np.zeros(len(cloud))
            unsure[observed == 0] = partial.frame.scale * one.uncertainty[one.kept :]
            extra["uncertainty"] = unsure
        write_ply(folder / f"completion_{rank}.ply", cloud, extra)
    _draw_picture(folder / "completions.png", outcome, partial)
    write_run(
        folder, config, request.seed, bridge.weights.path, outcome.timings,
        codec={"file": bridge.codec.path.name, "sha256": sha256(bridge.codec.path)},
        input={**file, "points": len(partial.cloud), "diameter": partial.frame.scale,
               "treatment": list(partial.treatment)},
        ranking=ranking(outcome, partial), failed=dict(outcome.failed),
    )  # fmt: skip


def ranking(outcome: Outcome, partial: Partial) -> list[dict[str, Any]]:
    """A row for each completion, best first; distances in the units of the file.

    `agreement` and `farthest` are the mean and the largest distance from an observed point to the decoded shape,
    `uncertainty` is the mean over the added points. A row vector upright, times `turn`, points as in the file.
    """
    rows: list[dict[str, Any]] = []
    for rank, one in enumerate(outcome.ranked, start=1):
        row: dict[str, Any] = {"file": f"completion_{rank}.ply", "draw": one.index}
        row |= {name: partial.frame.scale * getattr(one, name) for name in ("agreement", "farthest")}
        row["turn"] = one.turn.tolist()
        added = len(one.cloud) - one.kept
        unsure = None if one.uncertainty is None or not added else float(one.uncertainty[one.kept :].mean())
        row["uncertainty"] = None if unsure is None else partial.frame.scale * unsure
        rows.append(row | {"observed": len(partial.cloud) if one.kept else 0, "added": added})
    return rows


def _restored(one: Completion, partial: Partial, keep: bool) -> tuple[Cloud, np.ndarray]:
    """A completion in the units and place of the file, float64, all observed points first; and which those are."""
    points, normals = partial.frame.leave(one.cloud.points[one.kept :]), one.cloud.normals
    normals = None if normals is None else normals[one.kept :].astype(np.float32)
    if keep:
        points = np.concatenate([partial.cloud.points, points])
        both = normals is not None and partial.cloud.normals is not None
        normals = np.concatenate([partial.cloud.normals, normals]) if both else None
    observed = (np.arange(len(points)) < (len(partial.cloud) if keep else 0)).astype(np.uint8)
    return Cloud(points, normals), observed


def _draw_picture(path: Path, outcome: Outcome, partial: Partial) -> None:
    """The input and the best completions side by side, in one frame that holds them all."""
    shown = [partial.seen, *(one.cloud for one in outcome.ranked[:_SHOWN])]
    frame = bounding_frame(np.concatenate([cloud.points for cloud in shown]))
    write_contact_sheet(path, [[Cloud(frame.enter(cloud.points), cloud.normals) for cloud in shown]], pixels=240)
