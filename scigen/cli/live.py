"""Live progress of a training run on stderr, silent when it is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scigen.run.train import Trainer

__all__ = ["describe", "training_bar"]

REFRESH = 0.5  # seconds


@contextmanager
def training_bar(silent: bool) -> Iterator[Callable[[Trainer], None]]:
    """A bar with throughput, loss terms, time left and time of arrival, to be called after each step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    columns = (BarColumn(bar_width=20), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, disable=silent or not console.is_terminal) as shown:
        task = shown.add_task("preparing: data, network, first step", total=1.0)
        last = 0.0

        def report(trainer: Trainer) -> None:
            nonlocal last
            if shown.disable or time.monotonic() - last < REFRESH:
                return
            last = time.monotonic()
            shown.update(task, completed=trainer.status.progress(trainer.config), description=describe(trainer))

        yield report


def describe(trainer: Trainer, now: datetime | None = None) -> str:
    """Steps, samples per second over the last window, time left and of arrival; the loss terms on a second line."""
    s, left = trainer.status, trainer.seconds_left()
    terms = "  ".join(f"{name} {value:.3f}" for name, value in s.terms.items())
    skipped = f"  {s.skipped} skipped" if s.skipped else ""
    end = (now or datetime.now()) + timedelta(seconds=left)
    hours, minutes = divmod(round(left / 60), 60)
    remaining = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
    # Two lines, because one would not fit beside the bar in a window of 80 columns.
    return f"step {s.step:,}  {trainer.pace.rate:,.0f}/s  {remaining} left, ends {end:%H:%M}\n{terms}{skipped}"
