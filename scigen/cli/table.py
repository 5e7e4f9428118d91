"""Score tables for people: value, interval, the same on real data, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from scigen.metrics.score import Score

__all__ = ["format_interval", "format_value", "print_scores", "report_console", "score_table"]

_PIPE_WIDTH = 150  # a file or a pipe has no width of its own, and 80 columns would fold every definition
_WIDE = 130


def score_table(
    scores: Sequence[Score],
    title: str | None = None,
    definitions: bool = True,
    before: Sequence[Score] | None = None,
) -> Table:
    """One line per score: value, 95 % interval, the same for real data and for a trivial baseline, n, meaning.

    `before`, the same scores of unrefined samples, stands in a column of its own.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title and escape(title), title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column("score", no_wrap=True)
    for column in (*(["as drawn"] if before else []), "value", "95 % interval", "QM9 test", "+0.1 Å noise", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    if definitions:
        table.add_column("definition")
    earlier = {score.name: format_value(score.value, score.unit) for score in before or ()}
    for score in scores:
        note = f" ({escape(score.note)})" if score.note else ""
        cells = (
            score.name,
            *([earlier.get(score.name, "-")] if before else []),
            format_value(score.value, score.unit),
            format_interval(score.interval, score.unit),
            format_value(score.data, score.unit),
            format_value(score.baseline, score.unit),
            f"{score.n:,}" if score.n else "",
        )
        table.add_row(*cells, *([f"{score.definition}[dim]{note}[/dim]"] if definitions else []))
    return table


def print_scores(scores: Sequence[Score], title: str | None = None) -> None:
    """The table on stdout; on a narrow terminal the definitions follow it instead of standing beside."""
    console = report_console()
    wide = console.width >= _WIDE
    console.print(score_table(scores, title, definitions=wide))
    for score in () if wide else scores:
        console.print(f"{score.name}: {score.definition}{'; ' + score.note if score.note else ''}", markup=False)


def format_interval(interval: tuple[float, float] | None, unit: str) -> str:
    """`96.19 to 98.20 %`, the unit once; empty for no interval."""
    if interval is None:
        return ""
    low, high = interval
    return f"{100 * low:.2f} to {100 * high:.2f} %" if unit == "share" else f"{low:.4g} to {high:.4g} {unit}".rstrip()


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
