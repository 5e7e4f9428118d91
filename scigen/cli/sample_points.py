"""`scigen sample points`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scigen.cli.device import chosen_device
from scigen.cli.drawing import (
    AsJson,
    Batch,
    Category,
    Codec,
    Device,
    Guidance,
    Index,
    ProcessName,
    Quiet,
    Seed,
    SolverName,
    Steps,
    WeightsName,
    drawing_plan,
)  # fmt: skip

if TYPE_CHECKING:
    from scigen.io.shape import Cloud
    from scigen.run.draw import Outcome, Request

__all__ = ["sample_points"]

MOST = 200_000  # points of a cloud


def sample_points(
    n: Annotated[int, typer.Option("--n", min=1, help="Clouds to draw.")] = 16,
    category: Category = None,
    points: Annotated[int, typer.Option(min=1, max=MOST, help="Points of each cloud.")] = 2048,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/points"),
    npz: Annotated[bool, typer.Option("--npz", help="One archive clouds.npz in place of a PLY for each.")] = False,
    weights: WeightsName = "points-prior",
    codec: Codec = None,
    seed: Seed = 0,
    index: Index = None,
    process: ProcessName = "flow",
    solver: SolverName = "dpmpp2m",
    steps: Steps = 50,
    guidance: Guidance = None,
    batch_size: Batch = 32,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw point clouds with normals: PLY or NPZ, and a contact sheet, in the unit frame (y up, sphere of diameter 1).

    The network draws latent points and the codec turns them into as many points as asked for. Weights of `points/raw`
    draw the points themselves, without normals. Score them with `scigen score points OUT --reference R`.

    Exit code 4: written, but some samples were not finite; errors.jsonl lists them.
    """
    plan = drawing_plan(process, solver, steps, guidance, category)
    place = chosen_device(device)

    from scigen.cli.progress import bars
    from scigen.run import weights as store
    from scigen.run.draw import Request, category_index, load_model
    from scigen.run.report import append_error, locked_folder
    from scigen.run.sample_points import sample_points, write_outcome

    model = load_model(store.read(weights), codec)
    category_index(model.weights, category)  # a wrong name must not take the folder
    request = Request(n, seed, plan, points, category, index or None, batch_size, place)
    how = {"process": process, "solver": solver, "steps": steps, "guidance": guidance}
    config = {**how, "n": n, "category": category, "points": points, "index": index, "npz": npz}
    with locked_folder(out) as folder, bars(quiet or as_json) as progress:
        outcome = sample_points(model, request, progress, lambda d: append_error(folder, d.index, d.reason or ""))
        files = write_outcome(outcome, request, model, config, folder, npz)
    _show(outcome, request, out, files, as_json, quiet)
    if outcome.failed:
        raise typer.Exit(4)


def _show(outcome: Outcome[Cloud], request: Request, out: Path, files: list[str], as_json: bool, quiet: bool) -> None:
    if as_json:
        import json

        failed = [{"index": one.index, "reason": one.reason} for one in outcome.failed]
        document = {"out": str(out), "files": files, "indices": list(outcome.shapes), "points": request.points,
                    "failed": failed, "timings": outcome.timings}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
    elif not quiet:
        seconds, made = sum(outcome.timings.values()), out / files[0] if len(files) < len(outcome.shapes) else out
        typer.echo(
            f"{len(outcome.shapes)} clouds of {request.points:,} points in {seconds:.1f} s, seed {request.seed},"
            f" written to {made}; score them: scigen score points {made} --reference R"
        )
    for one in outcome.failed[:5]:
        typer.echo(f"sample {one.index}: {one.reason}", err=True)
