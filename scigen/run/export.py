"""From a training run to weights that sample: the average in bf16 and the card that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scigen.run.report import plain, versions
from scigen.run.schema import Config
from scigen.run.train import Trainer
from scigen.run.weights import export

__all__ = ["export_run"]

LOGSNR_RANGE = (-10.0, 10.0)  # training sees both ends of it at least once in a hundred batches


def export_run(path: Path, trainer: Trainer, config: Config, origin: Mapping[str, Any] | None = None) -> Path:
    """Write the averaged weights to `path`, their JSON card beside it; `origin` is what the run began from."""
    status = trainer.status
    card = {
        "name": path.stem,
        "domain": config.domain,
        "licence": config.licence,
        "network": config.network.model_dump(),
        **trainer.task.facts,
        "logsnr_range": list(LOGSNR_RANGE),
        "recipe": config.model_dump(mode="json", exclude={"network", "licence"}),
        "from": origin,
        "budget": {
            "steps": status.step,
            "samples": status.samples,
            "wall_hours": round(status.seconds / 3600, 3),
            "workers": trainer.world.size,
            "device": trainer.world.device.type,
            "skipped": status.skipped,
        },
        "versions": versions(),
    }
    kept = getattr(trainer.task, "kept", None)  # of the few tasks whose networks need more than weights
    export(path, trainer.average(), plain(card), kept)
    return path
