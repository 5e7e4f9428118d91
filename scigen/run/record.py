"""What a training run writes between its steps: log rows, checkpoints, weights that sample; at the end a curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scigen.run.checkpoint import save_checkpoint
from scigen.run.export import export_run
from scigen.run.log import append_row, draw_curve
from scigen.run.report import write_run
from scigen.run.schema import Config
from scigen.run.train import SAVED, Trainer

__all__ = ["WEIGHTS", "Record", "data_hash"]

LOG_SECONDS = 10.0
WEIGHTS = "weights.safetensors"


@dataclass
class Record:
    """Called after each step on every worker; only the leading one writes. `origin` names the weights it began from."""

    folder: Path
    config: Config
    origin: dict[str, Any] | None
    report: Callable[[Trainer], None]
    logged: float  # seconds of the run at the last row, and below at the last checkpoint
    saved: float = field(init=False)
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.saved = self.logged

    def __call__(self, trainer: Trainer) -> None:
        if not trainer.world.lead:
            return
        s = trainer.status
        self.count += 1
        self.sums = {k: self.sums.get(k, 0.0) + x for k, x in s.terms.items()}
        if s.seconds - self.logged > LOG_SECONDS:
            self.log(trainer)
        if s.seconds - self.saved > 60 * self.config.train.checkpoint_minutes:
            self.save(trainer)
        self.report(trainer)

    def log(self, trainer: Trainer) -> None:
        """One row: counters, and each loss term averaged since the row before."""
        s = trainer.status
        row = {"step": s.step, "minutes": s.seconds / 60, "samples": s.samples, "lr": trainer.learning_rate()}
        row |= {
            "norm": s.norm,
            "skipped": s.skipped,
            "rate": round(trainer.pace.rate, 1),
            "workers": trainer.world.size,
        }
        append_row(self.folder, {**row, **{k: x / self.count for k, x in self.sums.items()}})
        self.logged, self.sums, self.count = s.seconds, {}, 0

    def save(self, trainer: Trainer) -> None:
        """A checkpoint to resume from, and the weights so far to sample from."""
        s = trainer.status
        counters = {k: getattr(s, k) for k in SAVED} | {"config": self.config.model_dump(mode="json")}
        counters |= {"data": data_hash(trainer), "workers": trainer.world.size, "from": self.origin}
        save_checkpoint(self.folder, s.step, trainer.tensors(), counters)
        export_run(self.folder / WEIGHTS, trainer, self.config, self.origin)
        self.saved = s.seconds

    def close(self, trainer: Trainer) -> None:
        """The last row, checkpoint and weights, the curve, and `run.json`."""
        if self.count:
            self.log(trainer)
        self.save(trainer)
        if (self.folder / "log.jsonl").is_file():
            draw_curve(self.folder)
        s = trainer.status
        write_run(
            self.folder, self.config, self.config.train.seed, self.folder / WEIGHTS, {"train": s.seconds},
            steps=s.step, samples=s.samples, skipped=s.skipped, workers=trainer.world.size, data=data_hash(trainer),
        )  # fmt: skip


def data_hash(trainer: Trainer) -> str | None:
    """Content hash of what the run trains on, when its task tells."""
    value = trainer.task.facts.get("data", {}).get("content_sha256")
    return str(value) if value else None
