"""From a partial cloud to whole ones: encode in a frame, draw, fit, decode, keep what was observed, rank, say how sure.

The frame of the whole shape is not known, so everything happens in that of the partial cloud, the bounding sphere of
what was observed: a whole shape may reach out of it, and where and how large it is are part of what is drawn. Features
are those of the codec in the whole shape's own frame, in training (`seen_from`) and, found again from the positions
drawn, in decoding (`own_frame`): the codec only ever meets shapes of its size. A scan in unknown pose is first turned
as shapes stand, in as many ways as `Poses` finds, and what is drawn is turned back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch

from scigen.domains.points.bridge import Start, observed, with_start
from scigen.domains.points.process import Scale, joined
from scigen.domains.points.sampler import split
from scigen.domains.shapes.frame import Frame, bounding_frame
from scigen.errors import NumericError
from scigen.io.shape import Cloud
from scigen.state import Rng, State, generator

__all__ = [
    "Codec", "Completed", "Completion", "Draw", "Fit", "Poses", "bridged", "complete", "keep_observed", "looking",
    "own_frame", "seen_from",
]  # fmt: skip

REPLACED = 2.0  # decoded points this many spacings from an observed one, or nearer, make room for it

Poses: TypeAlias = Callable[[State], torch.Tensor]  # a scan's latents -> R [H, 3, 3], best first: x @ R stands upright
Fit: TypeAlias = Callable[[State, np.ndarray], State]  # a whole's latents and, in its frame, what was seen -> latents
Draw: TypeAlias = Callable[[State, Sequence[torch.Generator]], State]  # the partial cloud's latents, n times -> n draws


class Codec(Protocol):
    """A cloud in the unit frame as latents (a batch of one), and latents as clouds, one per sample."""

    def encode(self, cloud: Cloud) -> State: ...

    def decode(self, latents: State) -> Sequence[Cloud]: ...


@dataclass(frozen=True)
class Completion:
    """Draw `index` in the units of the input: the observed points first, exactly as given, then what was added; or
    the decoded shape alone.

    `agreement` is the mean distance from an observed point to the decoded shape, `farthest` the largest (UHD). Of every
    point `uncertainty [P]` is the mean distance to the other draws, 0 where it was observed; None with one draw. The
    first `kept` points are those of the input. `latents`, a batch of one, are the whole shape upright in a frame of its
    own: a point x there is `frame.leave(x @ turn)` in the units of the input.
    """

    index: int
    cloud: Cloud
    agreement: float
    farthest: float
    uncertainty: np.ndarray | None
    kept: int
    latents: State
    frame: Frame
    turn: np.ndarray  # [3, 3]


@dataclass(frozen=True)
class Completed:
    """Completions, those that agree best with what was observed first, and the reasons of draws that failed."""

    ranked: list[Completion]
    failed: Mapping[int, str]


def complete(
    partial: Cloud,
    codec: Codec,
    draw: Draw,
    n: int,
    seed: int,
    keep: bool = True,
    poses: Poses | None = None,
    fit: Fit | None = None,
) -> Completed:
    """`n` completions of `partial`, whatever its units and place; draw k of a seed does not depend on n.

    Without `keep` they are the decoded shapes, spread evenly, and no observed point is among theirs. Without `poses`
    the cloud stands upright; with H of them draw k takes the (k mod H)-th. Draws are decoded as they are, or after
    `fit`. Raises ValueError for a cloud without extent and NumericError when no draw is finite.
    """
    if n < 1:
        raise ValueError(f"`n` must be at least 1, got {n}.")
    frame = bounding_frame(partial.points)
    unit = Cloud(frame.enter(partial.points), partial.normals)
    turns = [np.eye(3)] if poses is None else [np.asarray(r, np.float64) for r in poses(codec.encode(unit))]
    seen = [codec.encode(_turned(unit, turn)) for turn in turns[:n]]
    rows = _in_a_row([seen[k % len(seen)] for k in range(n)])
    drawn = split(draw(rows, [generator(seed, k) for k in range(n)]), range(n))
    failed = {d.index: d.reason for d in drawn if d.reason is not None}
    wholes = {d.index: _whole(codec, d.shape, frame, turns[d.index % len(turns)]) for d in drawn if d.shape is not None}
    if not wholes:
        raise NumericError(f"None of {n} draws is finite; the weights or the solver settings are broken.")
    if fit is not None:
        wholes = {k: (fit(x, to.enter(partial.points) @ turn.T), to, turn) for k, (x, to, turn) in wholes.items()}
    decoded = {k: _decoded(codec, *whole) for k, whole in wholes.items()}
    found = [_judged(k, decoded, partial, keep, *wholes[k]) for k in decoded]
    return Completed(sorted(found, key=lambda c: (c.agreement, c.index)), failed)


def bridged(walk: Callable[[State, Rng], State], scale: Scale, start: Start = observed) -> Draw:
    """Draws by a bridge, from stored units to stored units: `walk` is one of `draw_sde`, `draw_ode`, `regress`.

    Bind its network, spread and steps first, e.g. `lambda x1, rng: draw_sde(network, spread, x1, rng)`; where the class
    is known, `x1.replace(category=...)`.
    """

    def draw(partial: State, rngs: Sequence[torch.Generator]) -> State:
        given = scale.enter(partial)
        return scale.leave(walk(with_start(start(given), given), rngs))

    return draw


def looking(walk: Callable[[State, Rng], State], scale: Scale) -> Draw:
    """Draws by a conditional diffusion, which starts from noise and looks at the partial cloud: the bridge's rival.

    `walk` is `noised_belief` with its network and plan bound.
    """

    def draw(partial: State, rngs: Sequence[torch.Generator]) -> State:
        given = scale.enter(partial)
        return scale.leave(walk(given.replace(given=joined(given), given_mask=given.mask), rngs))

    return draw


def seen_from(whole: State, own: Sequence[Frame], other: Sequence[Frame]) -> State:
    """Latents with their positions moved from their own frames into others, row by row; features stay."""
    pos = [o.enter(f.leave(x)) for x, f, o in zip(whole["pos"].cpu().numpy(), own, other, strict=True)]
    return whole.replace(pos=torch.from_numpy(np.stack(pos)).to(whole["pos"]) * whole.mask[..., None])


def own_frame(latents: State) -> Frame:
    """The frame of one shape, from the positions of its latents: they were its farthest points.

    Their sphere is a little smaller than the shape's: for 32 of them by 0.6 % on average over chairs, tables and
    airplanes, 4 % at worst.
    """
    return bounding_frame(latents["pos"][0][latents.mask[0]].cpu().numpy())


def keep_observed(partial: Cloud, decoded: Cloud) -> tuple[Cloud, np.ndarray]:
    """The observed points with those decoded points that are nowhere near one, and which those are `[D]`.

    Near is `REPLACED` spacings, the larger median distance to the next point of the two clouds. Normals stay where both
    clouds have them.
    """
    radius = REPLACED * max(_spacing(partial.points), _spacing(decoded.points))
    added = _nearest(partial.points, decoded.points) > radius
    points = np.concatenate([partial.points, decoded.points[added].astype(partial.points.dtype)])
    if partial.normals is None or decoded.normals is None:
        return Cloud(points), added
    return Cloud(points, np.concatenate([partial.normals, decoded.normals[added].astype(np.float32)])), added


def _turned(cloud: Cloud, turn: np.ndarray) -> Cloud:
    """The cloud with every row multiplied by the rotation."""
    points, normals = ((None if x is None else (x @ turn).astype(x.dtype)) for x in (cloud.points, cloud.normals))
    assert points is not None
    return Cloud(points, normals)


def _in_a_row(states: Sequence[State]) -> State:
    fields = {name: torch.cat([x[name] for x in states]) for name in ("pos", "feat")}
    return State(fields, torch.cat([x.mask for x in states]))


def _whole(codec: Codec, latents: State, frame: Frame, turn: np.ndarray) -> tuple[State, Frame, np.ndarray]:
    """One draw upright in a frame of its own, that frame in the units of the input, and the turn from there.

    Latents lie a little inside the shape, the more so where they follow those of another: what they decode to in their
    own frame tells the shape's.
    """
    inner, unit = own_frame(latents), Frame(np.zeros(3), 1.0)
    (cloud,) = codec.decode(seen_from(latents, [unit], [inner]))
    own = bounding_frame(inner.leave(cloud.points))
    moved, back = seen_from(latents, [unit], [own]), turn.T
    return moved, Frame(frame.leave(own.center[None] @ back)[0], frame.scale * own.scale), back


def _decoded(codec: Codec, latents: State, frame: Frame, turn: np.ndarray) -> Cloud:
    """One draw as a cloud in the units of the input."""
    (cloud,) = codec.decode(latents)
    back = _turned(cloud, turn)
    return Cloud(frame.leave(back.points).astype(np.float32), back.normals)


def _judged(
    index: int,
    decoded: Mapping[int, Cloud],
    partial: Cloud,
    keep: bool,
    latents: State,
    frame: Frame,
    turn: np.ndarray,
) -> Completion:
    """Draw `index` beside what was observed and beside the other draws."""
    whole = decoded[index]
    off = _nearest(whole.points, partial.points)
    cloud, added = keep_observed(partial, whole) if keep else (whole, np.ones(len(whole), bool))
    kept = len(partial) if keep else 0
    others = [_nearest(other.points, whole.points[added]) for k, other in decoded.items() if k != index]
    unsure = np.concatenate([np.zeros(kept), np.mean(others, 0)]) if others else None
    return Completion(index, cloud, float(off.mean()), float(off.max()), unsure, kept, latents, frame, turn)


def _nearest(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Distance from each query to the nearest of the points."""
    from scipy.spatial import cKDTree

    return cKDTree(points).query(queries)[0]


def _spacing(points: np.ndarray) -> float:
    """Median distance from a point to the next one; 0 for a single point."""
    from scipy.spatial import cKDTree

    return float(np.median(cKDTree(points).query(points, 2)[0][:, 1])) if len(points) > 1 else 0.0
