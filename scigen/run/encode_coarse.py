"""Closed meshes and coarse versions of them as latent points; made once, kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch

from scigen.cache import cache_dir
from scigen.domains.meshes.coarse import coarse_version
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.complete import seen_from
from scigen.domains.points.latents import load_latents, save_latents
from scigen.domains.points.process import joined
from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.sets import SPLITS
from scigen.domains.shapes.surface import sample_surface
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.atomic import make_folder
from scigen.io.shape import Cloud, Mesh
from scigen.nn.point_codec import PointCodec
from scigen.run.codec_of import latent_space
from scigen.run.encode import POINTS
from scigen.run.encode_solids import Solid, closed_mesh
from scigen.run.weights import Weights
from scigen.state import State

__all__ = ["encode_coarse"]

_TOGETHER = 64
_UNIT = Frame(np.zeros(3), 1.0)


def encode_coarse(
    sets: Sequence[Solid], codec: Weights, draws: int, seed: int, device: str, say: Callable[[str], None]
) -> tuple[State, str]:
    """`draws` coarse versions of every training mesh, as completions are stored; and the identity of the result.

    `given` holds the latents of the coarse mesh in its own frame, `pos` and `feat` those of the detailed one as seen
    from there, which follow the places of the coarse ones. Meshes that are not closed are left out and counted; raises
    `InputError` when all are.
    """
    made_from = [f"coarse and followers {draws} {seed} {latent_space(codec)}", *(solid.content for solid in sets)]
    key = hashlib.sha256(" ".join(made_from).encode()).hexdigest()
    path = cache_dir() / "meshes" / f"{key[:24]}.npz"
    if path.is_file():
        return load_latents(path)[0], key
    rows = [(s.shapes, k) for s in sets for k in np.flatnonzero(s.shapes.split == SPLITS.index("train")).tolist()]
    pairs: list[tuple[Cloud, Cloud, Frame]] = []
    closed = 0
    for done, (shapes, k) in enumerate(rows, start=1):
        if (mesh := closed_mesh(shapes, k)) is not None:
            closed += 1
            pairs += [_pair(mesh, shape_rng(seed, str(shapes.ids[k]), 1 + draw)) for draw in range(draws)]
        if done % 500 == 0:
            say(f"coarse versions: {done:,} of {len(rows):,} shapes")
    if not pairs:
        raise InputError(f"None of {len(rows)} training shapes is a closed mesh; make them watertight first.")
    if closed < len(rows):
        say(f"{len(rows) - closed} of {len(rows)} training shapes are no closed meshes and are left out.")
    coder = CloudCodec(cast(PointCodec, codec.network).to(device))
    parts = [_encoded(coder, pairs[i : i + _TOGETHER]) for i in range(0, len(pairs), _TOGETHER)]
    fields = {name: torch.cat([part[name] for part in parts]) for name in parts[0].fields}
    x = State(fields, torch.cat([part.mask for part in parts]))
    make_folder(path.parent)
    save_latents(path, x)
    return x, key


def _pair(mesh: Mesh, rng: np.random.Generator) -> tuple[Cloud, Cloud, Frame]:
    """Points of a coarse version in its own frame, of the mesh itself, and that frame."""
    coarse, frame = unit_shape(coarse_version(mesh, rng))
    assert isinstance(coarse, Mesh)
    return sample_surface(coarse, POINTS, rng)[0], sample_surface(mesh, POINTS, rng)[0], frame


def _encoded(coder: CloudCodec, pairs: Sequence[tuple[Cloud, Cloud, Frame]]) -> State:
    frames = [frame for _, _, frame in pairs]
    given = coder.encode_all([coarse for coarse, _, _ in pairs])
    places = np.stack([f.leave(x) for f, x in zip(frames, given["pos"].cpu().numpy(), strict=True)])
    fine = coder.encode_all([fine for _, fine, _ in pairs], torch.from_numpy(places))
    whole = seen_from(fine, [_UNIT] * len(pairs), frames)
    return whole.replace(given=joined(given), given_mask=given.mask).map(lambda v: v.cpu())
