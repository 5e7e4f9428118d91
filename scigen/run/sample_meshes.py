"""`scigen sample meshes` as a library call: draw latent points, decode them to closed meshes, write the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from scigen.domains.meshes.decode import MeshDecoder, PoissonDecoder
from scigen.domains.meshes.implicit import ImplicitDecoder
from scigen.domains.meshes.surface import Extracted
from scigen.domains.shapes.frame import Frame
from scigen.errors import InputError
from scigen.nn.implicit import ImplicitNetwork
from scigen.nn.point_codec import PointCodec
from scigen.run.codec_of import matching_codec
from scigen.run.draw import Failure, Model, Outcome, Progress, Request, category_index, draw_decoded, load_model
from scigen.run.mesh_files import FORMATS, mesh_rows, placed, save_mesh, show_meshes
from scigen.run.report import sha256, write_run
from scigen.run.sample_points import clear_numbered
from scigen.run.weights import Weights, read

__all__ = ["latent_codec", "latent_model", "mesh_decoder", "one_piece", "sample_meshes", "write_outcome"]


def latent_model(weights: str, codec: str | None, category: str | None) -> tuple[Model, Weights]:
    """A prior by name or file, and its codec. Raises as `load_model`, `latent_codec` and `category_index` do."""
    model = load_model(read(weights), codec)
    category_index(model.weights, category)
    return model, latent_codec(model)


def latent_codec(model: Model) -> Weights:
    """The codec of a model. Raises `InputError` for weights on raw points: without normals there is no inside."""
    if model.codec is None:
        raise InputError(f"The weights '{model.weights.path}' draw points without normals; meshes need a prior's.")
    return model.codec


def mesh_decoder(codec: Weights, size: int, device: str = "cpu", implicit: str | None = None) -> MeshDecoder:
    """The decoder of a codec's latent points on a grid of `size`^3: spectral Poisson, or the weights named `implicit`.

    Raises `InputError` where those are something else, or were trained on another codec.
    """
    if implicit is None:
        return PoissonDecoder(cast(PointCodec, codec.network).to(device), size)
    weights = read(implicit)
    if (domain := weights.card.get("domain")) != "meshes-implicit":
        raise InputError(f"The weights '{weights.path}' are for {domain}, no decoder; give those of `meshes/implicit`.")
    matching_codec(weights, str(codec.path))
    return ImplicitDecoder(cast(ImplicitNetwork, weights.network).to(device), size)


def sample_meshes(
    model: Model, request: Request, decoder: MeshDecoder, progress: Progress, failure: Failure = lambda drawn: None
) -> Outcome[Extracted]:
    """Draw meshes. Raises as `draw_decoded`."""
    return draw_decoded(model, request, decoder, progress, failure)


def one_piece(outcome: Outcome[Extracted]) -> float:
    """The share of meshes that were of one piece from the start, before any were joined or went."""
    return sum(one.pieces == 1 for one in outcome.shapes.values()) / len(outcome.shapes)


def write_outcome(
    outcome: Outcome[Extracted],
    request: Request,
    model: Model,
    config: dict[str, Any],
    folder: Path,
    suffix: str = "glb",
    frame: Frame | None = None,
) -> list[str]:
    """Write `mesh_<number>.<suffix>` in the units of `frame`, picture, page and `run.json`; names of the files.

    Meshes of an earlier run in the folder go, in any format.
    """
    clear_numbered(folder, "mesh", FORMATS)
    files = [f"mesh_{k:05}.{suffix}" for k in outcome.shapes]
    for name, one in zip(files, outcome.shapes.values(), strict=True):
        save_mesh(folder / name, placed(one.mesh, frame))
    meshes = {f"mesh {k}": one.mesh for k, one in outcome.shapes.items()}
    show_meshes(folder, "meshes", meshes, f"{len(files)} {request.category or 'shapes'}, seed {request.seed}")
    codec = latent_codec(model).path
    write_run(
        folder, config, request.seed, model.weights.path, outcome.timings,
        codec={"file": codec.name, "sha256": sha256(codec)},
        indices=list(outcome.shapes), files=files, one_piece=one_piece(outcome),
        meshes=mesh_rows(files, list(outcome.shapes.values())),
    )  # fmt: skip
    return files
