"""The `scigen` program: every command, its help, and nothing heavy.

Command modules import only typer at their top; torch and rdkit come in when a command runs, so help stays quick.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from scigen import __version__
from scigen.cli.complete import complete
from scigen.cli.data import memory, prepare
from scigen.cli.decode import decode
from scigen.cli.doctor import doctor
from scigen.cli.encode import encode
from scigen.cli.guard import guarded
from scigen.cli.interpolate import interpolate
from scigen.cli.reconstruct import reconstruct, views
from scigen.cli.refine import refine
from scigen.cli.sample import sample_molecules
from scigen.cli.sample_meshes import sample_meshes
from scigen.cli.sample_points import sample_points
from scigen.cli.score import score_molecules
from scigen.cli.score_meshes import score_meshes
from scigen.cli.score_points import score_points
from scigen.cli.score_reconstruct import score_reconstruct
from scigen.cli.score_refine import score_refine
from scigen.cli.train import check, train

__all__ = ["app", "main", "run"]

_STYLE: dict[str, Any] = {"no_args_is_help": True, "pretty_exceptions_enable": False}

app = typer.Typer(
    name="scigen",
    help="Generate and score molecules, point clouds and meshes with diffusion, flow and bridge models.",
    **_STYLE,
)
sample = typer.Typer(help="Draw new objects from a trained model.", **_STYLE)
score = typer.Typer(help="Score anybody's files, with thresholds and exit codes.", **_STYLE)
data = typer.Typer(help="Prepare training data.", **_STYLE)

app.add_typer(sample, name="sample")
app.add_typer(score, name="score")
app.add_typer(data, name="data")
sample.command("molecules")(sample_molecules)
sample.command("points")(sample_points)
sample.command("meshes")(sample_meshes)
score.command("molecules")(score_molecules)
score.command("refine")(score_refine)
score.command("points")(score_points)
score.command("meshes")(score_meshes)
score.command("reconstruct")(score_reconstruct)
data.command("prepare")(prepare)
data.command("memory")(memory)
app.command()(complete)
app.command()(encode)
app.command()(decode)
app.command()(interpolate)
app.command()(reconstruct)
app.command()(views)
app.command()(refine)
app.command()(train)
app.command()(check)
app.command()(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scigen {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere on the line.")] = False,
) -> None:
    """Options of the whole program (`--debug` is taken out of the line by `run`)."""


def run(args: list[str]) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]

    def work() -> int | None:
        with get_command(app).make_context("scigen", list(args)) as context:
            return context.command.invoke(context)

    return guarded(work, debug)


def main() -> NoReturn:
    """Entry point of `scigen`, `python -m scigen` and `cli.py`."""
    sys.exit(run(sys.argv[1:]))
