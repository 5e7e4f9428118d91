"""Score tables for people: value, interval, the same on real data, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from scigen.metrics.score import Score

__all__ = ["format_value", "report_console", "score_table"]

_PIPE_WIDTH = 150  # a file or a pipe has no width of its own, and 80 columns would fold every definition


def score_table(scores: Sequence[Score], data_name: str = "QM9 test", title: str | None = None) -> Table:
    """One line per score: name, value, 95 % interval, real data under the same definition, n, definition and note."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", pad_edge=False, header_style="bold")
    table.add_column("score", no_wrap=True)
    for column in ("value", "95 % interval", data_name, "n"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("definition")
    for score in scores:
        interval = "" if score.interval is None else " - ".join(format_value(x, score.unit) for x in score.interval)
        # Text from outside (a path in a note) must not be read as markup.
        note = f" ({score.note})".replace("[", r"\[") if score.note else ""
        table.add_row(
            score.name,
            format_value(score.value, score.unit),
            interval,
            format_value(score.data, score.unit),
            f"{score.n:,}" if score.n else "",
            f"{score.definition}[dim]{note}[/dim]",
        )
    return table


def format_value(value: float | None, unit: str) -> str:
    """`97.74 %` for a share, else four significant digits and the unit; `-` for no value."""
    if value is None:
        return "-"
    if unit == "share":
        return f"{100 * value:.2f} %"
    return f"{value:.4g} {unit}".rstrip()


def report_console() -> Console:
    """The console for tables on stdout, wide enough when it is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)
