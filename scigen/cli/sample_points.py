"""`scigen sample points`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scigen.cli.device import chosen_device
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.domains.points.sampler import Plan
    from scigen.run.sample_points import Outcome, Request

__all__ = ["sample_points"]

PROCESSES = ("flow", "vp", "ve", "subvp", "cosine")
SOLVERS = (
    "ancestral", "ddim", "dpm2", "dpm3", "dpmpp2m", "dpmpp3m", "dpmpp2m-sde", "pndm", "unipc", "euler", "heun", "edm",
)  # fmt: skip
MOST = 200_000  # points of a cloud


def sample_points(
    n: Annotated[int, typer.Option("--n", min=1, help="Clouds to draw.")] = 16,
    category: Annotated[str | None, typer.Option(help="Class of all of them; any if left out.")] = None,
    points: Annotated[int, typer.Option(min=1, max=MOST, help="Points of each cloud.")] = 2048,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/points"),
    npz: Annotated[bool, typer.Option("--npz", help="One archive clouds.npz in place of a PLY for each.")] = False,
    weights: Annotated[str, typer.Option(help="Shipped name or .safetensors file.")] = "points-prior",
    codec: Annotated[str | None, typer.Option(help="Weights of its codec [default: the one its card names].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed; sample k depends on (seed, k) alone.")] = 0,
    index: Annotated[list[int] | None, typer.Option(min=0, help="Draw only this sample (repeatable).")] = None,
    process: Annotated[str, typer.Option(help=f"{', '.join(PROCESSES)}. All from the same weights.")] = "flow",
    solver: Annotated[str, typer.Option(help=f"{', '.join(SOLVERS)}.")] = "dpmpp2m",
    steps: Annotated[int, typer.Option(min=2, help="Solver intervals.")] = 50,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="Weight of --category; above 1 exaggerates it, at twice the cost.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clouds per batch; does not change results.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of a line.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Draw point clouds with normals: PLY or NPZ, and a contact sheet, in the unit frame (y up, sphere of diameter 1).

    The network draws latent points and the codec turns them into as many points as asked for. Weights of `points/raw`
    draw the points themselves, without normals. Score them with `scigen score points OUT --reference R`.

    Exit code 4: written, but some samples were not finite; errors.jsonl lists them.
    """
    plan = _plan(process, solver, steps, guidance, category)
    place = chosen_device(device)

    from scigen.cli.progress import bars
    from scigen.run import weights as store
    from scigen.run.report import append_error, locked_folder
    from scigen.run.sample_points import Request, category_index, load_model, sample_points, write_outcome

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


def _plan(process: str, solver: str, steps: int, guidance: float | None, category: str | None) -> Plan:
    from scigen.cli.thresholds import suggest

    for option, name, known in (("--process", process, PROCESSES), ("--solver", solver, SOLVERS)):
        if name not in known:
            raise UsageError(f"`{option} {name}`: there is no such name; {suggest(name, known)}")
    if guidance is not None and category is None:
        raise UsageError(f"--guidance {guidance:g} is the weight of a class, and there is none; give --category.")

    from scigen.domains.points.sampler import Plan
    from scigen.run.build import affine_process, named_solver

    moves = named_solver(solver, 0.0, steps)
    return Plan(affine_process(process), moves, steps, guidance=1.0 if guidance is None else guidance)


def _show(outcome: Outcome, request: Request, out: Path, files: list[str], as_json: bool, quiet: bool) -> None:
    if as_json:
        import json

        failed = [{"index": one.index, "reason": one.reason} for one in outcome.failed]
        document = {"out": str(out), "files": files, "indices": list(outcome.clouds), "points": request.points,
                    "failed": failed, "timings": outcome.timings}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
    elif not quiet:
        seconds, made = sum(outcome.timings.values()), out / files[0] if len(files) < len(outcome.clouds) else out
        typer.echo(
            f"{len(outcome.clouds)} clouds of {request.points:,} points in {seconds:.1f} s, seed {request.seed},"
            f" written to {made}; score them: scigen score points {made} --reference R"
        )
    for one in outcome.failed[:5]:
        typer.echo(f"sample {one.index}: {one.reason}", err=True)
