"""`scigen sample points` as a library call: draw latent points, or raw ones, decode, write the run folder."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.process import Scale
from scigen.domains.points.sampler import Drawn, Plan, draw_shapes
from scigen.domains.shapes.picture import write_contact_sheet
from scigen.errors import InputError, NumericError, UsageError
from scigen.io.clouds import write_cloud
from scigen.io.npz import write_npz
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.run.codec_of import matching_codec
from scigen.run.report import sha256, write_run
from scigen.run.weights import Weights

__all__ = [
    "Model",
    "Outcome",
    "Request",
    "category_index",
    "clear_numbered",
    "load_model",
    "sample_points",
    "scale_on",
    "write_outcome",
]

Progress = Callable[[str, int, int], None]
DOMAINS = ("points-prior", "points-raw")
_SHOWN, _COLUMNS = 24, 6  # clouds on the contact sheet


@dataclass(frozen=True)
class Model:
    """Weights on latent points and the codec they belong to, or weights on raw points and None."""

    weights: Weights
    codec: Weights | None


@dataclass(frozen=True)
class Request:
    """What a user asks for: n clouds (or exactly `indices`) of so many points, the seed, the class, and how."""

    n: int
    seed: int
    plan: Plan
    points: int = 2048
    category: str | None = None
    indices: Sequence[int] | None = None
    batch: int = 32
    device: str = "cpu"


@dataclass(frozen=True)
class Outcome:
    """Clouds in the unit frame (y up, a sphere of diameter 1) by sample number, ascending; failures; seconds."""

    clouds: dict[int, Cloud]
    failed: list[Drawn]
    timings: dict[str, float]


def load_model(weights: Weights, codec: str | None) -> Model:
    """The codec that goes with the weights, where they need one. Raises `InputError` when they do not fit."""
    domain = weights.card.get("domain")
    if domain not in DOMAINS:
        raise InputError(f"The weights '{weights.path}' are for {domain}, not for generating points; choose others.")
    if domain == "points-raw":
        if codec is not None:
            raise UsageError(f"--codec {codec}: the weights '{weights.path}' draw points themselves; leave it out.")
        return Model(weights, None)
    return Model(weights, matching_codec(weights, codec))


def sample_points(
    model: Model, request: Request, progress: Progress, failure: Callable[[Drawn], None] = lambda drawn: None
) -> Outcome:
    """Draw and decode what is asked for; `failure` hears of each sample that is not finite.

    Raises `UsageError` for a class the weights do not know, `InputError` for a card that lacks what sampling needs, and
    `NumericError` when no sample is finite.
    """
    card = model.weights.card
    category = category_index(model.weights, request.category)
    began, decoding = time.perf_counter(), 0.0
    tokens, features = (request.points, None) if model.codec is None else (_latents(card), card["network"]["features"])
    indices = list(dict.fromkeys(request.indices or range(request.n)))
    drawn = draw_shapes(
        model.weights.network, request.plan, indices, request.seed, scale_on(model.weights, "scale"), category,
        tokens, features, request.batch, request.device,
    )  # fmt: skip
    clouds: dict[int, Cloud] = {}
    failed: list[Drawn] = []
    done = 0
    for group in drawn:
        start = time.perf_counter()
        found, bad = _decoded(model.codec, group, request)
        clouds |= found
        failed += bad
        for one in bad:
            failure(one)
        decoding += time.perf_counter() - start
        progress("sampling", done := done + len(group), len(indices))
    if not clouds:
        raise NumericError(f"None of {len(indices)} samples is finite; the weights or the solver settings are broken.")
    timings = {"sample": time.perf_counter() - began - decoding, "decode": decoding}
    return Outcome(dict(sorted(clouds.items())), failed, timings)


def write_outcome(
    outcome: Outcome, request: Request, model: Model, config: dict[str, Any], folder: Path, archive: bool = False
) -> list[str]:
    """Write one PLY per cloud, or one `clouds.npz` of them all, the contact sheet and `run.json`; names of the files.

    Clouds of an earlier run in the folder go, so that what lies there is of one run.
    """
    clear_numbered(folder, "cloud")
    (folder / "clouds.npz").unlink(missing_ok=True)
    files = ["clouds.npz"] if archive else [f"cloud_{k:05}.ply" for k in outcome.clouds]
    if archive:
        write_npz(folder / "clouds.npz", _archive(outcome.clouds), compress=False)
    else:
        for name, cloud in zip(files, outcome.clouds.values(), strict=True):
            write_cloud(folder / name, cloud)
    shown = list(outcome.clouds.values())[:_SHOWN]
    write_contact_sheet(folder / "clouds.png", [shown[i : i + _COLUMNS] for i in range(0, len(shown), _COLUMNS)])
    codec = model.codec and {"file": model.codec.path.name, "sha256": sha256(model.codec.path)}
    write_run(
        folder, config, request.seed, model.weights.path, outcome.timings,
        codec=codec, indices=list(outcome.clouds), files=files,
    )  # fmt: skip
    return files


def clear_numbered(folder: Path, stem: str) -> None:
    """Remove the files `<stem>_<number>.ply` of an earlier run, and no other."""
    for old in folder.glob(f"{stem}_*.ply"):
        if re.fullmatch(rf"{stem}_[0-9]+\.ply", old.name):
            with suppress(OSError):
                old.unlink()


def category_index(weights: Weights, name: str | None) -> int | None:
    """The row of a class; None, the null class, for none. Raises `UsageError` for one that the weights do not know."""
    if name is None:
        return None
    known = [str(x) for x in weights.card.get("categories", ())]
    if name in known:
        return known.index(name)
    from difflib import get_close_matches

    if not known:
        raise UsageError(f"--category {name}: the weights '{weights.path}' know no categories; leave it out.")
    near = get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(known)}."
    raise UsageError(f"--category {name}: the weights know no such category; {hint}")


def scale_on(weights: Weights, key: str) -> Scale:
    """A `Scale` that the card holds under `key`. Raises `InputError` when it does not."""
    try:
        scale = Scale(**{name: float(x) for name, x in weights.card[key].items()})
    except (KeyError, TypeError, ValueError, AttributeError):
        scale = Scale(math.nan)
    if not (0 < scale.pos < math.inf and 0 < scale.feat < math.inf):
        raise InputError(f"The card of '{weights.path}' has no usable `{key}`; export the weights again.")
    return scale


def _latents(card: Any) -> int:
    return int(card["codec"]["latents"])


def _decoded(codec: Weights | None, group: Sequence[Drawn], request: Request) -> tuple[dict[int, Cloud], list[Drawn]]:
    """The clouds of the samples that are finite, and the samples that are not."""
    clouds: dict[int, Cloud] = {}
    failed = []
    for one in group:
        if one.shape is None:
            failed.append(one)
            continue
        if codec is None:
            cloud = Cloud(one.shape["pos"][0].cpu().numpy())
        else:
            net = cast(PointCodec, codec.network).to(request.device)
            (cloud,) = CloudCodec(net, request.points).decode(one.shape)
        if np.isfinite(cloud.points).all():
            clouds[one.index] = cloud
        else:
            failed.append(Drawn(one.index, None, "non-finite points"))
    return clouds, failed


def _archive(clouds: dict[int, Cloud]) -> dict[str, np.ndarray]:
    """`points [M, N, 3]`, `normals` where there are, `ids` and `index`."""
    index = np.array(list(clouds))
    arrays = {"points": np.stack([c.points for c in clouds.values()]), "index": index}
    arrays["ids"] = np.array([f"cloud_{k:05}" for k in index])
    normals = [c.normals for c in clouds.values() if c.normals is not None]
    return arrays | ({"normals": np.stack(normals)} if len(normals) == len(clouds) else {})
