"""`scigen data prepare NAME`, `... prepare points NAME`, `... prepare views NAME`, and `scigen data memory NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["memory", "prepare"]

_PARTIAL = 4


def prepare(
    name: Annotated[str, typer.Argument(help="qm9, qm9-refine; or `points`, `views` with the name of the shapes.")],
    shapes: Annotated[
        str | None,
        typer.Argument(
            help="After `points`, `views`: shapenet, shapenet55, shapenet-pc15k, shapenet-r2n2, pcn, modelnet10, "
            "modelnet40, modelnet40-airplane, random-objects, adrenal, ldraw, procedural, folder."
        ),
    ] = None,
    source: Annotated[Path | None, typer.Option(help="File or folder the shapes are read from.")] = None,
    title: Annotated[str | None, typer.Option("--name", help="Name of the result in the cache.")] = None,
    points: Annotated[int, typer.Option(help="Points kept of each shape.")] = 4096,
    per_family: Annotated[int | None, typer.Option(help="Procedural objects of each family; 500 unless told.")] = None,
    pixels: Annotated[int, typer.Option(help="Of `views`: a side of each.")] = 48,
    pictures: Annotated[int, typer.Option(help="Of `views`: photographs of each shape, from any side.")] = 4,
    split: Annotated[str | None, typer.Option(help="Of `views`: train, val or test alone.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
) -> None:
    """Build a training set once, into the cache ($SCIGEN_CACHE or the XDG cache folder).

    Exit code 4: written, but some of the shapes could not be read; the .json beside the set lists them.
    """
    from scigen.errors import UsageError

    say = (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True))
    if split and name != "views":
        raise UsageError(f"--split {split}: '{name}' is prepared whole; --split goes with `views`.")
    if name not in ("points", "views"):
        if shapes or source or title or per_family:
            raise UsageError(
                f"'{name}' takes no second name and no options of shapes; those go with `points` and `views`."
            )
        from scigen.run.prepare import prepare_set

        prepare_set(name, say)
        return
    if shapes is None:
        raise UsageError(f"Which {name}? Name the shapes: `scigen data prepare {name} shapenet --source FILE`.")
    if name == "views":
        from scigen.run.prepare_views import prepare_views

        failed = prepare_views(shapes, source, title, pixels, pictures, say, per_family, split).failed
    else:
        from scigen.run.prepare_shapes import prepare_points

        failed = prepare_points(shapes, source, title, points, say, per_family).failed
    if failed:
        raise typer.Exit(_PARTIAL)


def memory(
    source: Annotated[str, typer.Argument(metavar="NAME", help="Rendered views: a name in the cache, or a file.")],
    out: Annotated[Path, typer.Option(help="File to write, .npz; its card lies beside it.")],
    per_class: Annotated[int, typer.Option(min=1, help="Shapes kept of every class.")] = 40,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
) -> None:
    """Choose the training shapes that stand for the others and pack them small: the memory that scigen ships."""
    from scigen.run.prepare_views import prepare_memory

    prepare_memory(source, per_class, out, (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True)))
