"""`scigen data prepare NAME` and `scigen data prepare points NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["prepare"]

_PARTIAL = 4


def prepare(
    name: Annotated[str, typer.Argument(help="Data set: qm9, qm9-refine; or `points` with the name of the shapes.")],
    shapes: Annotated[
        str | None,
        typer.Argument(
            help="After `points`: shapenet, shapenet55, shapenet-pc15k, shapenet-r2n2, pcn, modelnet10, modelnet40, "
            "modelnet40-airplane, random-objects, adrenal, ldraw, procedural, folder."
        ),
    ] = None,
    source: Annotated[Path | None, typer.Option(help="File or folder the shapes are read from.")] = None,
    title: Annotated[str | None, typer.Option("--name", help="Name of the result in the cache.")] = None,
    points: Annotated[int, typer.Option(help="Points kept of each shape.")] = 4096,
    per_family: Annotated[int | None, typer.Option(help="Procedural objects of each family; 500 unless told.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
) -> None:
    """Build a training set once, into the cache ($SCIGEN_CACHE or the XDG cache folder).

    Exit code 4: written, but some of the shapes could not be read; the .json beside the set lists them.
    """
    from scigen.errors import UsageError

    say = (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True))
    if name != "points":
        if shapes or source or title or per_family:
            raise UsageError(f"'{name}' takes no second name and no options of shapes; those go with `points`.")
        from scigen.run.prepare import prepare_set

        prepare_set(name, say)
        return
    from scigen.run.prepare_shapes import prepare_points

    if shapes is None:
        raise UsageError("Which points? Name the shapes: `scigen data prepare points shapenet --source FILE`.")
    if prepare_points(shapes, source, title, points, say, per_family).failed:
        raise typer.Exit(_PARTIAL)
