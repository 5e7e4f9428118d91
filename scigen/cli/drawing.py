"""The options of every command that draws shapes from trained weights, and the plan they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from scigen.cli.choice import PROCESSES, checked
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.domains.points.sampler import Plan

__all__ = [
    "SOLVERS", "AsJson", "Batch", "Category", "Codec", "Decoder", "Device", "Guidance", "Index", "MeshFormat",
    "ProcessName", "Quiet", "Resolution", "Seed", "SolverName", "Steps", "WeightsName", "checked_mesh", "drawing_plan",
]  # fmt: skip

SOLVERS = (
    "ancestral", "ddim", "dpm2", "dpm3", "dpmpp2m", "dpmpp3m", "dpmpp2m-sde", "pndm", "unipc", "euler", "heun", "edm",
)  # fmt: skip
RESOLUTIONS = (64, 96, 128)

Category: TypeAlias = Annotated[str | None, typer.Option(help="Class of all of them; any if left out.")]
WeightsName: TypeAlias = Annotated[str, typer.Option("--weights", help="Shipped name or .safetensors file.")]
Codec: TypeAlias = Annotated[str | None, typer.Option(help="Weights of its codec [default: the one its card names].")]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Seed; sample k depends on (seed, k) alone.")]
Index: TypeAlias = Annotated[list[int] | None, typer.Option(min=0, help="Draw only this sample (repeatable).")]
ProcessName: TypeAlias = Annotated[
    str, typer.Option("--process", help=f"{', '.join(PROCESSES)}. All from the same weights.")
]
SolverName: TypeAlias = Annotated[str, typer.Option("--solver", help=f"{', '.join(SOLVERS)}.")]
Steps: TypeAlias = Annotated[int, typer.Option(min=2, help="Solver intervals.")]
Guidance: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="Weight of --category; above 1 exaggerates it, at twice the cost.")
]
Batch: TypeAlias = Annotated[
    int, typer.Option("--batch-size", min=1, help="Shapes per batch; does not change results.")
]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of a line.")]
Decoder: TypeAlias = Annotated[
    str | None, typer.Option(help="Weights of meshes/implicit [default: spectral Poisson through decoded points].")
]
MeshFormat: TypeAlias = Annotated[str, typer.Option("--format", help="glb, obj, stl or ply.")]
Resolution: TypeAlias = Annotated[
    int, typer.Option(help="Cells along the grid that the surface is found on: 64, 96 or 128.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]


def drawing_plan(process: str, solver: str, steps: int, guidance: float | None, category: str | None) -> Plan:
    """The plan that these options name. Raises `UsageError` for an unknown name and for a weight without a class."""
    checked("--process", process, PROCESSES)
    checked("--solver", solver, SOLVERS)
    if guidance is not None and category is None:
        raise UsageError(f"--guidance {guidance:g} is the weight of a class, and there is none; give --category.")

    from scigen.domains.points.sampler import Plan
    from scigen.run.build import affine_process, named_solver

    moves = named_solver(solver, 0.0, steps)
    return Plan(affine_process(process), moves, steps, guidance=1.0 if guidance is None else guidance)


def checked_mesh(suffix: str, resolution: int) -> None:
    """Raise `UsageError` for a format or a resolution that meshes do not come in."""
    from scigen.run.mesh_files import FORMATS

    checked("--format", suffix, FORMATS)
    if resolution not in RESOLUTIONS:
        raise UsageError(f"--resolution {resolution}: choose 64, 96 or 128.")
