"""Closed shapes as latent points with signed distances at places around them; made once, kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from scigen.cache import cache_dir
from scigen.domains.meshes.signed import signed_samples
from scigen.domains.points.codec import CloudCodec
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.sets import SPLITS, ShapeSet
from scigen.domains.shapes.surface import sample_surface
from scigen.errors import InputError
from scigen.io.atomic import make_folder
from scigen.io.npz import read_npz, write_npz
from scigen.io.shape import Cloud, Mesh
from scigen.nn.point_codec import PointCodec
from scigen.run.codec_of import latent_space
from scigen.run.encode import POINTS
from scigen.run.report import sha256
from scigen.run.weights import Weights
from scigen.state import State

__all__ = ["Solid", "closed_mesh", "encode_solids", "solid_sets"]

_TOGETHER = 64


@dataclass(frozen=True)
class Solid:
    """A collection of meshes, and what identifies its content."""

    shapes: ShapeSet
    content: str


def solid_sets(sources: Sequence[str | Path], objects: int) -> list[Solid]:
    """`procedural`, `objects` of each family, or folders of meshes. Raises `InputError` for anything else."""
    from scigen.domains.shapes.corpora.files import load_folder

    found = []
    for source in sources:
        if source == "procedural":
            found.append(Solid(ProceduralSet(objects), f"procedural {objects}"))
        elif Path(source).is_dir():
            corpus = load_folder(Path(source))
            content = hashlib.sha256("".join(sha256(Path(source) / name) for name in corpus.ids).encode()).hexdigest()
            found.append(Solid(corpus, content))
        else:
            raise InputError(f"'{source}' has no meshes to learn from; give `procedural` or a folder of closed meshes.")
    return found


def encode_solids(
    sets: Sequence[Solid], codec: Weights, places: int, seed: int, device: str, say: Callable[[str], None]
) -> tuple[State, str]:
    """Training shapes as `pos`, `feat`, `query [M, Q, 3]` and `distance [M, Q]` in the unit frame; and their identity.

    A mesh that is not closed, or cannot be read, has no inside: it is left out and counted. Raises `InputError` when
    none is left.
    """
    made_from = [f"solids {places} {seed} {latent_space(codec)}", *(solid.content for solid in sets)]
    key = hashlib.sha256(" ".join(made_from).encode()).hexdigest()
    path = cache_dir() / "meshes" / f"{key[:24]}.npz"
    if not path.is_file():
        arrays = _made([solid.shapes for solid in sets], codec, places, seed, device, say)
        make_folder(path.parent)
        write_npz(path, arrays, compress=False)
    fields = {name: torch.from_numpy(array) for name, array in read_npz(path, max_bytes=1 << 40).items()}
    return State(fields, torch.ones(fields["pos"].shape[:2], dtype=torch.bool)), key


def _made(
    sets: Sequence[ShapeSet], codec: Weights, places: int, seed: int, device: str, say: Callable[[str], None]
) -> dict[str, np.ndarray]:
    rows = [(shapes, k) for shapes in sets for k in np.flatnonzero(shapes.split == SPLITS.index("train")).tolist()]
    clouds: list[Cloud] = []
    query, distance = [], []
    for done, (shapes, k) in enumerate(rows, start=1):
        rng = shape_rng(seed, str(shapes.ids[k]), 1)
        if (mesh := closed_mesh(shapes, k)) is not None:
            clouds.append(sample_surface(mesh, POINTS, rng)[0])
            at, d = signed_samples(mesh, places, rng)
            query.append(at)
            distance.append(d.astype(np.float16))
        if done % 500 == 0:
            say(f"signed distances: {done:,} of {len(rows):,} shapes")
    if not clouds:
        raise InputError(f"None of {len(rows)} training shapes is a closed mesh; make them watertight first.")
    if len(clouds) < len(rows):
        say(f"{len(rows) - len(clouds)} of {len(rows)} training shapes are no closed meshes and are left out.")
    network = CloudCodec(cast(PointCodec, codec.network).to(device))
    parts = [network.encode_all(clouds[i : i + _TOGETHER]) for i in range(0, len(clouds), _TOGETHER)]
    latents = {name: torch.cat([part[name].cpu() for part in parts]).numpy() for name in ("pos", "feat")}
    return {**latents, "query": np.stack(query), "distance": np.stack(distance)}


def closed_mesh(shapes: ShapeSet, k: int) -> Mesh | None:
    """Mesh k, wound outwards, where it is closed: as it is indexed, or with corners at equal places made one."""
    import trimesh

    try:
        mesh = shapes.mesh(k)
    except (InputError, ValueError):
        return None
    if mesh is None:
        return None
    # Parts of a solid may touch along an edge: made one, it would have four faces.
    for merged in (False, True):
        found = trimesh.Trimesh(mesh.vertices, mesh.faces, process=merged)
        if found.is_watertight and found.is_winding_consistent and found.volume != 0:
            return mesh if found.volume > 0 else replace(mesh, faces=mesh.faces[:, ::-1])
    return None
