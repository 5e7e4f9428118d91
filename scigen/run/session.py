"""One training run as a user sees it: build, train with live progress, export."""

from __future__ import annotations

from pathlib import Path

import torch

from scigen.errors import InputError
from scigen.run.build import molecule_task
from scigen.run.config import Config
from scigen.run.distributed import join, leave
from scigen.run.train import Trainer, train

__all__ = ["run_training"]


def run_training(
    config: Config, out: Path, resume: bool, start: str | None, data: Path | None, device: str, quiet: bool
) -> None:
    """Train `config` into the folder `out`; `start` names weights to begin from."""
    world = join(device)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not resume and any(out.glob("step-*.safetensors")):
            raise InputError(f"'{out}' already holds a run; add --resume to continue it, or choose another --out.")
        if config.train.minutes is None and config.train.steps is None:
            raise InputError("The run has no budget; give --minutes or -s train.steps=N.")
        task = molecule_task(config, world.device, data)
        train(task, config, world, out, resume, _reporter(config, quiet or not world.lead))
    finally:
        leave()


def _reporter(config: Config, quiet: bool):
    last = [0.0]

    def report(trainer: Trainer) -> None:
        s = trainer.status
        if quiet or s.seconds - last[0] < 10:
            return
        last[0] = s.seconds
        import sys
        terms = "  ".join(f"{k} {v:.3f}" for k, v in s.terms.items())
        left = (1 - s.progress(config.train)) * (config.train.minutes or 0)
        print(f"step {s.step}  {s.rate:.0f}/s  {left:.0f} min left  {terms}", file=sys.stderr)

    return report
