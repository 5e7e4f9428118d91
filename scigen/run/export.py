"""From a training run to weights that sample: the average in bf16 and the card that says where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scigen.errors import InputError
from scigen.io.atomic import atomic_file
from scigen.run.config import Config
from scigen.run.train import Trainer
from scigen.run.weights import export

__all__ = ["draw_curve", "export_run"]

LOGSNR_RANGE = (-10.0, 10.0)  # training sees both ends of it at least once in a hundred batches


def export_run(folder: Path, trainer: Trainer, config: Config, facts: Mapping[str, Any], name: str) -> Path:
    """Write `<folder>/<name>.safetensors` and its JSON card; `facts` come from the task."""
    status = trainer.status
    names = [key for key, _ in trainer.network.named_parameters()]
    card = {
        "name": name,
        "domain": config.domain,
        "network": config.network.model_dump(),
        **facts,
        "logsnr_range": list(LOGSNR_RANGE),
        "recipe": config.model_dump(mode="json", exclude={"network"}),
        "budget": {
            "steps": status.step,
            "samples": status.samples,
            "wall_hours": round(status.seconds / 3600, 3),
            "workers": trainer.world.size,
            "device": trainer.world.device.type,
        },
    }
    path = folder / f"{name}.safetensors"
    export(path, dict(zip(names, trainer.ema, strict=True)), card)
    return path


def draw_curve(folder: Path) -> None:
    """Plot every loss term of `<folder>/log.jsonl` over minutes into `curve.png`; raises `InputError` without a log."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    log = folder / "log.jsonl"
    if not log.is_file():
        raise InputError(f"'{folder}' has no log.jsonl; it is not the folder of a training run.")
    rows = [json.loads(line) for line in log.read_text().splitlines() if line]
    terms = [k for k in rows[-1] if k not in ("step", "minutes", "samples", "lr", "norm", "skipped")]
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for term in terms:
        points = [(r["minutes"], r[term]) for r in rows if term in r]
        axes.plot(*zip(*_smooth(points), strict=True), label=term)
    axes.set(xlabel="minutes", ylabel="loss (mean of 20 entries)", yscale="log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    with atomic_file(folder / "curve.png") as handle:
        figure.savefig(handle, format="png", dpi=120)
    plt.close(figure)


def _smooth(points: list[tuple[float, float]], width: int = 20) -> list[tuple[float, float]]:
    out = []
    for k in range(len(points)):
        window = points[max(0, k - width + 1) : k + 1]
        out.append((points[k][0], sum(y for _, y in window) / len(window)))
    return out
