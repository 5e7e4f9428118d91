"""One training run as a user sees it: refuse, begin or resume, train, and leave weights that sample."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scigen.errors import InputError, UsageError
from scigen.run.begin import Plan, begin
from scigen.run.checkpoint import clean, found
from scigen.run.distributed import World, join, leave
from scigen.run.record import WEIGHTS, Record
from scigen.run.report import held_folder
from scigen.run.signals import stop_on_signals
from scigen.run.train import Trainer, train

__all__ = ["Finished", "run_training"]


def _silent(anything: Any) -> None:
    """The default of both callbacks: none."""


@dataclass(frozen=True)
class Finished:
    """How a run ended: the weights to sample from, the counters, and the signal that stopped it (0: budget spent)."""

    weights: Path
    steps: int
    samples: int
    seconds: float
    lead: bool
    signal: int


def run_training(
    plan: Plan, report: Callable[[Trainer], None] = _silent, warn: Callable[[str], None] = _silent
) -> Finished:
    """Train to the end of the budget or to a signal; `report` is called after each step, `warn` with sentences.

    Only the leading worker writes and speaks. Raises `InputError` for a folder, checkpoint or weights that do not fit,
    `UsageError` for a run without a budget, `NumericError` when training diverges.
    """
    world = join(plan.device)
    try:
        with _folder(plan, world), stop_on_signals() as stop:
            trainer, origin = begin(plan, world, warn if world.lead else _silent)
            record = Record(plan.out, plan.config, origin, report, trainer.status.seconds)
            stopped = train(trainer, lambda: stop.number != 0, record)
            if world.lead:
                record.close(trainer)
            s = trainer.status
            number = (stop.number or int(signal.SIGTERM)) if stopped else 0  # a fellow worker may have been told
            return Finished(plan.out / WEIGHTS, s.step, s.samples, s.seconds, world.lead, number)
    finally:
        leave()


@contextmanager
def _folder(plan: Plan, world: World) -> Iterator[None]:
    """Refuse what cannot be meant before anything is loaded, then hold the folder."""
    if plan.config.train.minutes is None and plan.config.train.steps is None:
        raise UsageError("The run has no budget; give --minutes or -s train.steps=N.")
    if not plan.resume and found(plan.out):
        raise InputError(f"'{plan.out}' already holds a run; add --resume to continue it, or choose another --out.")
    if not world.lead:
        yield
        return
    with held_folder(plan.out):
        clean(plan.out)
        yield
