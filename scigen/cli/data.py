"""`scigen data prepare NAME`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["prepare"]


def prepare(
    name: Annotated[str, typer.Argument(help="Data set: qm9, qm9-refine.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
) -> None:
    """Build a training set once, into the cache ($SCIGEN_CACHE or the XDG cache folder)."""
    from scigen.run.prepare import prepare_set

    prepare_set(name, (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True)))
