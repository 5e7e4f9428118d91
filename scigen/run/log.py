"""`log.jsonl` of a training run, one row every ten seconds, and the curve drawn from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scigen.errors import InputError
from scigen.io.atomic import atomic_file, refused, write_text
from scigen.run.report import plain

__all__ = ["append_row", "draw_curve", "fold_log", "read_log"]

COUNTERS = frozenset({"step", "minutes", "samples", "lr", "norm", "skipped", "rate", "workers"})  # the rest are losses
SMOOTH = 20  # rows


def append_row(folder: Path, row: Mapping[str, Any]) -> None:
    """Add one row; NaN becomes null. Raises ResourceError when it cannot be written."""
    try:
        with (folder / "log.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(plain(row), allow_nan=False) + "\n")
    except OSError as error:
        raise refused(folder / "log.jsonl", error) from error


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run; a line that a crash cut short is passed over. Raises `InputError` when there is no log."""
    log = folder / "log.jsonl"
    if not log.is_file():
        raise InputError(f"'{folder}' has no log.jsonl; it is not the folder of a training run.")
    rows = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows


def fold_log(folder: Path, step: int) -> None:
    """Forget the rows after `step`: a run that resumes from there will write them again."""
    if (folder / "log.jsonl").is_file():
        kept = [json.dumps(row) for row in read_log(folder) if row["step"] <= step]
        write_text(folder / "log.jsonl", "".join(f"{line}\n" for line in kept))


def draw_curve(folder: Path) -> Path | None:
    """Plot every loss of the log over minutes into `curve.png`; None when fewer than two rows have been written.

    Raises `InputError` without a log.
    """
    from matplotlib.figure import Figure  # without pyplot there is no global state and no display

    rows = read_log(folder)
    if len(rows) < 2:
        return None
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for term in [k for k in rows[-1] if k not in COUNTERS]:
        points = [(r["minutes"], r[term]) for r in rows if r.get(term) is not None]
        minutes, losses = zip(*points, strict=True) if points else ((), ())
        axes.plot(minutes, smooth(losses), label=term)
    axes.set(xlabel="minutes", ylabel=f"loss (mean of {SMOOTH} rows)", yscale="log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    with atomic_file(folder / "curve.png") as handle:
        figure.savefig(handle, format="png", dpi=120)
    return folder / "curve.png"


def smooth(values: tuple[float, ...], width: int = SMOOTH) -> list[float]:
    """Mean of each value and up to `width - 1` before it."""
    windows = [values[max(0, k - width + 1) : k + 1] for k in range(len(values))]
    return [sum(window) / len(window) for window in windows]
