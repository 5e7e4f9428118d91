"""Drawing shapes from trained weights, whatever they are decoded to: what is asked for, and what came of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from scigen.domains.points.bridge import repeated
from scigen.domains.points.process import Scale
from scigen.domains.points.sampler import Drawn, Plan, by_batches, draw_shapes
from scigen.domains.points.variations import Original, varied_belief
from scigen.errors import InputError, NumericError, UsageError
from scigen.run.codec_of import matching_codec
from scigen.run.weights import Weights
from scigen.state import State

__all__ = [
    "Failure", "Model", "Outcome", "Progress", "Request", "category_index", "decoded", "draw_decoded", "load_model",
    "scale_on",
]  # fmt: skip

Progress = Callable[[str, int, int], None]
Failure = Callable[[Drawn], None]
DOMAINS = ("points-prior", "points-raw")
T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """Weights on latent points and the codec they belong to, or weights on raw points and None."""

    weights: Weights
    codec: Weights | None


@dataclass(frozen=True)
class Request:
    """What a user asks for: n shapes (or exactly `indices`) of so many points, the seed, the class, and how.

    `original` is a shape to begin from in place of noise alone.
    """

    n: int
    seed: int
    plan: Plan
    points: int = 2048
    category: str | None = None
    indices: Sequence[int] | None = None
    batch: int = 32
    device: str = "cpu"
    original: Original | None = None


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """Shapes in the unit frame (y up, a sphere of diameter 1) by sample number, ascending; failures; seconds."""

    shapes: dict[int, T]
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


def draw_decoded(
    model: Model,
    request: Request,
    decode: Callable[[State], T],
    progress: Progress,
    failure: Failure = lambda drawn: None,
) -> Outcome[T]:
    """Draw what is asked for and `decode` it, one shape at a time; `failure` hears of each sample that cannot be used.

    Raises `UsageError` for a class the weights do not know, `InputError` for a card that lacks what sampling needs, and
    `NumericError` when no sample can be used.
    """
    began, decoding = time.perf_counter(), 0.0
    indices = list(dict.fromkeys(request.indices or range(request.n)))
    shapes: dict[int, T] = {}
    failed: list[Drawn] = []
    done = 0
    for group in _drawn(model, request, indices):
        start = time.perf_counter()
        for one in group:
            shape, reason = decoded(one, decode)
            if shape is not None:
                shapes[one.index] = shape
            else:
                failed.append(Drawn(one.index, None, reason))
                failure(failed[-1])
        decoding += time.perf_counter() - start
        progress("sampling", done := done + len(group), len(indices))
    if not shapes:
        reason = f"the first: {failed[0].reason}"
        raise NumericError(f"None of {len(indices)} samples is finite and whole ({reason}); try other settings.")
    timings = {"sample": time.perf_counter() - began - decoding, "decode": decoding}
    return Outcome(dict(sorted(shapes.items())), failed, timings)


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


def _drawn(model: Model, request: Request, indices: Sequence[int]) -> Iterator[list[Drawn]]:
    card, network = model.weights.card, model.weights.network.to(request.device)
    category, scale = category_index(model.weights, request.category), scale_on(model.weights, "scale")
    if request.original is None:
        raw = model.codec is None
        tokens, features = (request.points, None) if raw else (card["codec"]["latents"], card["network"]["features"])
        return draw_shapes(
            network, request.plan, indices, request.seed, scale, category, tokens, features, request.batch,
            request.device,
        )  # fmt: skip
    original = request.original
    x0 = scale.enter(original.shape.map(lambda x: x.to(request.device)))
    if category is not None:
        x0 = x0.replace(category=torch.full((1,), category, device=request.device))

    def around(count: int, rngs: Sequence[torch.Generator]) -> State:
        return scale.leave(varied_belief(network, request.plan, repeated(x0, count), original, rngs))

    return by_batches(around, indices, request.seed, request.batch)


def decoded(one: Drawn, decode: Callable[[State], T]) -> tuple[T | None, str | None]:
    """What a drawn shape decodes to, or None and the reason: it is not finite, or `decode` raises `NumericError`."""
    if one.shape is None:
        return None, one.reason
    try:
        return decode(one.shape), None
    except NumericError as error:
        return None, str(error)
