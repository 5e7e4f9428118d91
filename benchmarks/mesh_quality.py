"""Meshes from latent points, scored against held-out generated shapes: the ceiling, generation, completion.

    python -m benchmarks.mesh_quality --codec points-codec --n 10                     # through the codec and back
    python -m benchmarks.mesh_quality --codec points-codec --prior points-prior --categories chair mug --n 30
    python -m benchmarks.mesh_quality --codec points-codec --bridge points-bridge --decoder runs/implicit/w.safetensors
    python -m benchmarks.mesh_quality --codec points-codec --detail runs/detail/weights.safetensors

Paired rows: CD-L1 over the sampling floor, F@1%, normal consistency, IoU, and the share of valid meshes (watertight,
manifold, oriented, solid, no self-intersection), in the unit frame. `true points` is what the decoder's spectral
Poisson makes of as many oriented points of the surface itself: the ceiling of any codec on this grid. Of a completion
the `raw cloud` is spectral Poisson of the observed and the added points. Of detail the
rows are the coarse mesh itself, the bridge's regression, ODE and SDE. Set rows: 1-NNA by CD (50 % is one law), COV,
pieces; `other half` is the score of shapes of the same law, and the same shapes through the codec are the ceiling of
any prior on its latent points. Shapes are of the validation and test splits. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from scigen.domains.meshes.coarse import coarse_version
from scigen.domains.meshes.collect import MeshCollection, Surface
from scigen.domains.meshes.decode import SIGMA, MeshDecoder, cover
from scigen.domains.meshes.normals import oriented
from scigen.domains.meshes.pairs import score_mesh_pairs
from scigen.domains.meshes.scores import score_mesh_sets
from scigen.domains.meshes.surface import Extracted, surface_of
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.sampler import Plan
from scigen.domains.points.scores import Terms
from scigen.domains.shapes.camera import view_of
from scigen.domains.shapes.frame import Frame, bounding_frame
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.surface import sample_surface, surface_area
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import NumericError
from scigen.io.shape import Cloud, Mesh
from scigen.nn.point_codec import PointCodec
from scigen.run.build import affine_process, named_solver
from scigen.run.codec_of import codec_weights
from scigen.run.complete import Request as Completing
from scigen.run.complete import complete_partial, load_bridge
from scigen.run.complete_meshes import outer
from scigen.run.detail import detail_meshes, detail_model
from scigen.run.draw import Request, load_model
from scigen.run.mesh_files import placed
from scigen.run.partial import Partial
from scigen.run.sample_meshes import mesh_decoder, sample_meshes
from scigen.run.weights import read
from scigen.state import State

PAIRED = ("chamfer_l1_over_floor", "f_score@0.01", "normal_consistency", "iou", "valid")
SETS = ("1nna_cd", "cov_cd", "valid", "one_piece")
HELD = ("val", "test")
POINTS = 8192  # of a surface that scores compare

Meshes = Mapping[str, Mesh]


def held_out(categories: Sequence[str], n: int) -> tuple[ProceduralSet, list[int]]:
    """A generated set, and `n` of its held-out shapes of each category."""
    families = [f for f in FAMILIES if f.name in categories] if categories else list(FAMILIES)
    shapes = ProceduralSet(20 * n, families=families)
    rows = [np.flatnonzero((shapes.category == c) & (shapes.split > 0))[:n] for c in range(len(families))]
    return shapes, np.concatenate(rows).tolist()


def collected(meshes: Meshes, points: int) -> MeshCollection:
    """Meshes by name, as the scores take them."""
    surfaces: list[Surface] = []
    for name, mesh in meshes.items():
        cloud = sample_surface(mesh, points, shape_rng(len(surfaces), name))[0]
        surfaces.append(Surface(name, mesh, cloud, surface_area(mesh)))
    return MeshCollection(Path("."), tuple(surfaces), ())


def line(label: str, found: Sequence[Any], names: Sequence[str], n: int) -> str:
    """A row of the table: value and 95 % interval."""
    by_name = {score.name: score for score in found}
    cells = []
    for name in names:
        score = by_name.get(name)
        if score is None or score.value is None:
            cells.append("-")
        else:
            low, high = score.interval or (score.value, score.value)
            cells.append(f"{score.value:.3f} ({low:.3f}-{high:.3f})")
    return f"| {label} | {n} | " + " | ".join(cells) + " |"


def paired(label: str, made: Meshes, true: Meshes) -> str:
    """The row of meshes beside those they stand for."""
    terms = Terms("none", POINTS, 0, 2, 0.01, 0)
    one, other = (collected({k: m[k] for k in made}, POINTS) for m in (made, true))
    return line(label, score_mesh_pairs(one, other, None, terms, _silent)[0], PAIRED, len(made))


def made_from(work: Mapping[str, Callable[[], Extracted]]) -> tuple[dict[str, Mesh], list[int]]:
    """What each job makes, but for those that enclose nothing; the pieces each had before cleaning."""
    meshes, pieces = {}, []
    for name, job in work.items():
        try:
            found = job()
        except NumericError as error:
            print(f"{name}: {error}", flush=True)
            continue
        meshes[name] = found.mesh
        pieces.append(found.pieces)
    return meshes, pieces


def ceiling(
    codec: PointCodec, decoders: Mapping[str, MeshDecoder], shapes: ProceduralSet, rows: list[int], size: int
) -> Iterator[str]:
    """Held-out shapes through their latent points and back, and through points of the true surface."""
    true = {str(shapes.ids[k]): shapes.mesh(k) for k in rows}
    clouds = {str(shapes.ids[k]): shapes.cloud(k, 2048, shape_rng(0, str(shapes.ids[k]), 1)) for k in rows}
    exact = {str(shapes.ids[k]): shapes.cloud(k, cover(size), shape_rng(0, str(shapes.ids[k]), 2)) for k in rows}
    ideal = {name: partial(surface_of, cloud, size, SIGMA, one=True) for name, cloud in exact.items()}
    yield paired("true points", made_from(ideal)[0], true)
    latents = {name: CloudCodec(codec).encode(cloud) for name, cloud in clouds.items()}
    for label, decode in decoders.items():
        made, pieces = made_from({name: partial(decode, x) for name, x in latents.items()})
        yield paired(f"autoencoder, {label}", made, true)
        print(f"<!-- {label}: {np.mean(np.array(pieces) == 1):.1%} of one piece before cleaning -->", flush=True)


def completion(
    args: argparse.Namespace, decoders: Mapping[str, MeshDecoder], shapes: ProceduralSet, rows: list[int]
) -> Iterator[str]:
    """Single views completed: the decoders' meshes beside spectral Poisson of the completed cloud."""
    bridge = load_bridge(read(args.bridge), args.codec)
    true = {str(shapes.ids[k]): shapes.mesh(k) for k in rows}
    work: dict[str, dict[str, Callable[[], Extracted]]] = {"raw cloud": {}, **{label: {} for label in decoders}}
    for k in rows:
        name = str(shapes.ids[k])
        rng = shape_rng(0, name, 3)
        frame, seen = view_frame(view_of(shapes.cloud(k, 16384, rng), rng).cloud)
        done = complete_partial(
            bridge, Partial(seen, seen, frame, ()), Completing(n=1, mode="ode", points=cover(args.size))
        )
        one = done.ranked[0]
        at = outer(one.frame, frame)
        whole = Cloud(frame.leave(one.cloud.points), one.cloud.normals)
        work["raw cloud"][name] = partial(poisson, whole, args.size)
        for label, decode in decoders.items():
            work[label][name] = partial(decoded_at, decode, one.latents, at)
    for label, jobs in work.items():
        yield paired(f"completion, {label}", made_from(jobs)[0], true)


def detail(args: argparse.Namespace, decode: MeshDecoder, shapes: ProceduralSet, rows: list[int]) -> Iterator[str]:
    """Coarse versions brought back to detail, beside the coarse ones."""
    model, codec = detail_model(args.detail, args.codec)
    coder, plan = CloudCodec(cast(PointCodec, codec.network)), Plan(affine_process("flow"), named_solver("dpmpp2m"), 10)
    true, coarse = {str(shapes.ids[k]): shapes.mesh(k) for k in rows}, {}
    starts: dict[str, tuple[State, Frame]] = {}
    for name, mesh in true.items():
        rng = shape_rng(0, name, 5)
        coarse[name] = coarse_version(mesh, rng)
        unit, frame = unit_shape(coarse[name])
        assert isinstance(unit, Mesh)
        starts[name] = coder.encode(sample_surface(unit, 2048, rng)[0]), frame
    yield paired("coarse", coarse, true)

    def drawn(name: str, mode: str) -> Extracted:
        x, frame = starts[name]
        return moved(detail_meshes(model, Request(1, 0, plan), decode, _silent, start=x, mode=mode).shapes[0], frame)

    for mode in ("regress", "ode", "sde"):
        yield paired(f"detail, {mode}", made_from({n: partial(drawn, n, mode) for n in true})[0], true)


def poisson(cloud: Cloud, size: int) -> Extracted:
    """Spectral Poisson of a cloud, whose normals are estimated where it has none."""
    return surface_of(cloud if cloud.normals is not None else oriented(cloud), size)


def decoded_at(decode: MeshDecoder, latents: State, frame: Any) -> Extracted:
    """The mesh of latent points in the place of its frame."""
    return moved(decode(latents), frame)


def view_frame(cloud: Cloud) -> tuple[Any, Cloud]:
    """A cloud in its own frame, and the frame."""
    frame = bounding_frame(cloud.points)
    return frame, Cloud(frame.enter(cloud.points), cloud.normals)


def moved(found: Extracted, frame: Any) -> Extracted:
    """A mesh in the place of its frame."""
    return replace(found, mesh=placed(found.mesh, frame))


def generation(
    args: argparse.Namespace, codec: PointCodec, decode: MeshDecoder, shapes: ProceduralSet
) -> Iterator[str]:
    """Each category: generated, the other half of the held-out shapes, and that half through the codec."""
    model = load_model(read(args.prior), args.codec)
    plan = Plan(affine_process("flow"), named_solver("dpmpp2m"), 50)
    terms = Terms("none", 2048, 0, 2, 0.01, 0)
    for category in args.categories:
        rows = np.flatnonzero((shapes.category == shapes.categories.index(category)) & (shapes.split > 0))
        first, second = ({str(shapes.ids[k]): shapes.mesh(k) for k in half} for half in (rows[::2], rows[1::2]))
        first, second = (dict(list(half.items())[: args.n]) for half in (first, second))
        coder = CloudCodec(codec)
        latents = {k: coder.encode(sample_surface(m, 2048, shape_rng(0, k, 4))[0]) for k, m in second.items()}
        sets: dict[str, tuple[Meshes, Sequence[int]]] = {"other half": (second, ())}
        sets["through the codec"] = made_from({k: partial(decode, x) for k, x in latents.items()})
        drawn = sample_meshes(model, Request(len(first), 0, plan, 0, category), decode, _silent).shapes
        sets["prior"] = ({f"{k}": x.mesh for k, x in drawn.items()}, [x.pieces for x in drawn.values()])
        for label, (meshes, pieces) in sets.items():
            scores = score_mesh_sets(collected(meshes, 2048), collected(first, 2048), None, terms, _silent)[0]
            whole = f" {np.mean(np.array(pieces) == 1):.1%} |" if pieces else " |"
            yield line(f"{category}, {label}", scores, SETS, len(meshes)) + whole


def _silent(stage: str, done: int, total: int | None) -> None:
    """No progress."""


def head(first: str, names: Sequence[str]) -> str:
    """The head of a table."""
    return f"\n| {first} | n | " + " | ".join(names) + " |\n|" + "---|" * (2 + len(names))


def main() -> None:
    """Measure what there are weights for, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("codec", "prior", "bridge", "detail", "decoder"):
        parser.add_argument(f"--{name}", help="weights, by name or file")
    parser.add_argument("--categories", nargs="*", default=[])
    parser.add_argument("--n", type=int, default=10, help="shapes of each category")
    parser.add_argument("--size", type=int, default=96, choices=(64, 96, 128))
    args = parser.parse_args()
    torch.set_num_threads(1)
    weights = codec_weights(args.codec or "points-codec")
    codec = cast(PointCodec, weights.network)
    decoders = {"points": mesh_decoder(weights, args.size)}
    if args.decoder:
        decoders["implicit"] = mesh_decoder(weights, args.size, implicit=args.decoder)
    shapes, rows = held_out(args.categories, args.n)
    args.categories = args.categories or list(shapes.categories)
    print(head(f"{args.size}^3", PAIRED))
    for row in ceiling(codec, decoders, shapes, rows, args.size):
        print(row, flush=True)
    if args.bridge:
        for row in completion(args, decoders, shapes, rows):
            print(row, flush=True)
    if args.detail:
        for row in detail(args, decoders["points"], shapes, rows):
            print(row, flush=True)
    if args.prior:
        print(head("category", (*SETS, "one piece before cleaning")))
        for row in generation(args, codec, decoders["points"], shapes):
            print(row, flush=True)


if __name__ == "__main__":
    main()
