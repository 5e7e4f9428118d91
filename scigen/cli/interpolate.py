"""`scigen interpolate`: shapes between two shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scigen.cli.device import chosen_device
from scigen.cli.drawing import (
    AsJson,
    Category,
    Codec,
    Decoder,
    Device,
    Guidance,
    MeshFormat,
    ProcessName,
    Quiet,
    Resolution,
    Steps,
    WeightsName,
    checked_mesh,
    drawing_plan,
)

__all__ = ["interpolate"]


def interpolate(
    first: Annotated[Path, typer.Argument(help="Mesh, cloud or latents.npz, y up.")],
    last: Annotated[Path, typer.Argument(help="Another.")],
    n: Annotated[int, typer.Option("--n", min=2, max=256, help="Meshes, both ends among them.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/interpolation"),
    suffix: MeshFormat = "glb",
    resolution: Resolution = 96,
    category: Category = None,
    weights: WeightsName = "points-prior",
    codec: Codec = None,
    decoder: Decoder = None,
    process: ProcessName = "flow",
    steps: Steps = 50,
    guidance: Guidance = None,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Meshes on the way from one shape to another, every one a draw of the prior: nothing random, offline.

    Both shapes are encoded and carried to the noise they would be drawn from, by the sampler's own path backwards;
    the arc between the two is walked in even steps and each point drawn as a shape. Place and size pass from those of
    the first file to those of the last.

    Exit code 4: some of the shapes enclose nothing; errors.jsonl lists them.
    """
    plan = drawing_plan(process, "dpmpp2m", steps, guidance, category)
    checked_mesh(suffix, resolution)
    place = chosen_device(device)

    from scigen.run.interpolate import Between, between, write_outcome
    from scigen.run.report import append_error, locked_folder
    from scigen.run.sample_meshes import latent_model

    model, _ = latent_model(weights, codec, category)  # what is wrong must not take the folder
    request = Between(first, last, n, plan, category, resolution, place, decoder)
    how = {"process": process, "steps": steps, "guidance": guidance}
    config = {**how, "n": n, "category": category, "resolution": resolution, "format": suffix, "decoder": decoder}
    with locked_folder(out) as folder:
        outcome = between(model, request)
        for index, reason in outcome.failed.items():
            append_error(folder, index, reason)
        document = write_outcome(outcome, request, model, config, folder, suffix)
    _show(document, f"{first.name} to {last.name}", out, as_json, quiet)
    if outcome.failed:
        raise typer.Exit(4)


def _show(document: dict[str, Any], ends: str, out: Path, as_json: bool, quiet: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps({"out": str(out), **document}, indent=2))
    elif not quiet:
        typer.echo(
            f"{len(document['meshes'])} meshes from {ends}, written to {out}; the ends came back to"
            f" {max(document['returned']):.1%} of a coordinate's spread; look: {out / 'interpolation.html'}"
        )
    for index, reason in document["failed"].items():
        typer.echo(f"mesh {index}: {reason}", err=True)
