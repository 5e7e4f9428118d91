"""Shapes as stored latent points: encoded once by a trained codec, kept in the cache under what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from scigen.cache import cache_dir
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.complete import seen_from
from scigen.domains.points.latents import load_latents, save_latents
from scigen.domains.points.memory import Memory
from scigen.domains.points.process import Scale, joined
from scigen.domains.shapes.camera import view_of
from scigen.domains.shapes.frame import Frame, bounding_frame
from scigen.errors import InputError
from scigen.io.atomic import make_folder
from scigen.io.shape import Cloud
from scigen.parallel import one_each_core
from scigen.run.codec_of import latent_space
from scigen.run.shape_pool import Pool
from scigen.run.weights import Weights
from scigen.state import State

__all__ = ["Encoding", "encode_followers", "encode_scans", "encode_shapes"]

POINTS = 2048  # of a whole shape that the encoder sees, as in its training
_TOGETHER = 256
_UNIT = Frame(np.zeros(3), 1.0)
Pairs: TypeAlias = Sequence[tuple[int, int]]
Encoder: TypeAlias = Callable[[Pairs], tuple[State, list[int]]]  # latents of some, and the numbers of their shapes


@dataclass(frozen=True)
class Encoding:
    """What is encoded: `draws` of every shape of a pool, each from a generator of its own under `seed`, by a codec.

    `tell(stage, done, total)` hears of progress; what lies in the cache is told nothing about.
    """

    pool: Pool
    codec: Weights
    draws: int
    seed: int
    device: torch.device | str
    tell: Callable[[str, int, int], None]


def encode_shapes(how: Encoding) -> tuple[State, str]:
    """Every shape as latents of 2,048 of its points, other points each draw, and the identity of the result.

    `pos`, `feat` and `category`, in the shapes' own frames.
    """

    def encoder(codec: CloudCodec) -> Encoder:
        return lambda pairs: (codec.encode_all([_sample(how, *pair) for pair in pairs]), [i for i, _ in pairs])

    return _kept("shapes", how, _draws(how), encoder)


def encode_scans(how: Encoding) -> tuple[State, str]:
    """Every shape seen by a depth camera, each draw from another side, with the whole; and the identity of the result.

    `given` holds the latents of the scan in its own frame (`bounding_frame`), `pos` and `feat` those of the whole shape
    as seen from there: positions moved, features as in its own. `frame [M, 4]` is that frame, centre and scale, in the
    unit frame of the whole, and `shape` the number of the shape in the pool. Every other scan goes without normals, as
    many files do, of a shape and from shape to shape: the features of its latents are others then. A scan of fewer
    points than latents is left out; raises `InputError` when all are.
    """

    def encoder(codec: CloudCodec) -> Encoder:
        least = codec.network.shape.latents

        def encoded(pairs: Pairs) -> tuple[State, list[int]]:
            seen = {pair: cloud for pair in pairs if len(cloud := _scan(how, *pair)) >= least}
            if not seen:
                return State(), []
            frames = [bounding_frame(cloud.points) for cloud in seen.values()]
            given = codec.encode_all([Cloud(f.enter(c.points), c.normals) for f, c in zip(frames, seen.values())])
            whole = seen_from(codec.encode_all([_sample(how, *pair) for pair in seen]), [_UNIT] * len(seen), frames)
            frame = torch.tensor(np.array([[*f.center, f.scale] for f in frames]))
            return whole.replace(given=joined(given), given_mask=given.mask, frame=frame), [i for i, _ in seen]

        return encoded

    return _kept("half-bare scans", how, _draws(how), encoder)


def encode_followers(how: Encoding, scans: State, scale: Scale, memory: Memory, near: Tensor) -> Tensor:
    """The whole of every scan anew for each of the remembered shapes `near [M, R]`, whose places its latents follow.

    `scans` are those of `encode_scans` and the memory is in units of `scale`; positions and features side by side in
    stored units, as seen from the scans: `[M, R, K, 3 + F]`.
    """
    shape, frames = scans["shape"].tolist(), [Frame(f[:3], float(f[3])) for f in scans["frame"].numpy()]

    def encoder(codec: CloudCodec) -> Encoder:
        def encoded(pairs: Pairs) -> tuple[State, list[int]]:
            own = [frames[m] for m, _ in pairs]
            clouds = [_sample(how, shape[m], how.draws + m * near.shape[1] + r) for m, r in pairs]
            begin = (scale.pos * memory.pos[torch.stack([near[m, r] for m, r in pairs])]).numpy()
            places = np.stack([f.leave(x) for f, x in zip(own, begin, strict=True)])
            followed = codec.encode_all(clouds, torch.from_numpy(places))
            return seen_from(followed, [_UNIT] * len(own), own), [shape[m] for m, _ in pairs]

        return encoded

    every = [(m, r) for m in range(len(near)) for r in range(near.shape[1])]
    told = hashlib.sha256(b"".join(x.contiguous().numpy().tobytes() for x in (near, memory.pos))).hexdigest()
    x, _ = _kept("followers", how, every, encoder, told)
    return joined(x).unflatten(0, near.shape)


def _kept(
    kind: str, how: Encoding, pairs: Pairs, encoder: Callable[[CloudCodec], Encoder], of: str = ""
) -> tuple[State, str]:
    """What is made of all `pairs`, or the same from the cache, under `kind` and `of`, what else it is made from."""
    made_from = f"{kind} {of} {how.draws} {how.seed} {POINTS} {latent_space(how.codec)} {how.pool.content}"
    key = hashlib.sha256(made_from.encode()).hexdigest()
    path = cache_dir() / "points" / "latents" / f"{key[:24]}.npz"
    if path.is_file():
        return load_latents(path)[0], key
    encoded = encoder(CloudCodec(how.codec.network.to(how.device)))  # type: ignore[arg-type]  # a codec, says its card
    groups = [pairs[begin : begin + _TOGETHER] for begin in range(0, len(pairs), _TOGETHER)]

    def run(group: Pairs) -> tuple[dict[str, np.ndarray], np.ndarray, list[int]]:
        part, shapes = encoded(group)
        # Arrays, as tensors from another process each hold a file open.
        return {name: x.cpu().numpy() for name, x in part.fields.items()}, part.mask.cpu().numpy(), shapes

    parts: list[State] = []
    rows: list[int] = []
    on_cpu = torch.device(how.device).type == "cpu"
    for k, (fields, mask, shapes) in enumerate(one_each_core(run, groups) if on_cpu else map(run, groups)):
        if shapes:
            parts.append(State({name: torch.from_numpy(x) for name, x in fields.items()}, torch.from_numpy(mask)))
        rows += shapes
        how.tell(f"encoding {kind}", min((k + 1) * _TOGETHER, len(pairs)), len(pairs))
    if not rows:
        raise InputError(f"None of {len(pairs)} {kind} shows enough of a shape to be encoded; check the shapes.")
    category = torch.from_numpy(how.pool.category[rows]).long()
    x = _in_a_row(parts).replace(category=category, shape=torch.tensor(rows))
    make_folder(path.parent)
    save_latents(path, x, how.pool.categories)
    return x, key


def _draws(how: Encoding) -> list[tuple[int, int]]:
    """Every draw of every shape."""
    return [(i, draw) for i in range(len(how.pool)) for draw in range(how.draws)]


def _in_a_row(parts: Sequence[State]) -> State:
    fields = {name: torch.cat([part[name] for part in parts]) for name in parts[0].fields}
    return State(fields, torch.cat([part.mask for part in parts]))


def _sample(how: Encoding, i: int, draw: int) -> Cloud:
    shapes, k = how.pool.rows[i]
    return shapes.cloud(k, min(POINTS, int(shapes.size[k])), how.pool.stream(i, draw, how.seed))


def _scan(how: Encoding, i: int, draw: int) -> Cloud:
    """What a camera on some side sees of a shape; nothing where no side shows enough."""
    shapes, k = how.pool.rows[i]
    try:
        seen = view_of(shapes.full(k), how.pool.stream(i, draw, how.seed)).cloud
    except ValueError:
        return Cloud(np.zeros((0, 3), np.float32))
    return Cloud(seen.points) if (i + draw) % 2 else seen
