"""A network that trains in milliseconds: on the fixture as a real task, or on a straight line."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from scigen.domains.molecules.data import fixture_path
from scigen.run.begin import Plan
from scigen.run.config import load_config
from scigen.run.distributed import World
from scigen.run.schema import Config, TrainConfig
from scigen.run.session import Finished, run_training
from scigen.run.train import Trainer

SHAPE = {"width": 16, "pair": 8, "message": 8, "vectors": 4, "heads": 2, "layers": 1}
OVERRIDES = [
    *(f"network.{key}={value}" for key, value in SHAPE.items()),
    *("train.batch=8", "train.warmup=2", "train.compile=false", "train.minutes=null"),
]
ALONE = World(0, 1, torch.device("cpu"))


def config(*more: str) -> Config:
    """The shipped preset with a tiny network and no budget of minutes."""
    return load_config("molecules/qm9", [*OVERRIDES, *more])


def trained(out: Path, *more: str, **options: object) -> Finished:
    """A run on the fixture in `out`."""
    return run_training(Plan(config(*more), out, data=fixture_path(), **options))


class LineTask:
    """Fit y = 2 x - 1 by a linear network; `scale` multiplies the loss of a step, to inject what goes wrong."""

    def __init__(self, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = nn.Linear(1, 1)
        self.facts: dict[str, object] = {}
        self.scale: dict[int, float] = {}

    def loss(self, network, step, world, rng):
        """The loss of a step, its one term, and its samples."""
        x = torch.randn(16, 1, generator=rng)
        loss = (network(x) - 2 * x + 1).square().mean()
        return loss * self.scale.get(step, 1.0), {"line": loss}, 16


def line_trainer(**settings: object) -> Trainer:
    """A trainer of `LineTask` in float32."""
    task = LineTask()
    values = {"bf16": False, "steps": 100, "warmup": 0, "lr": 1e-2, **settings}
    return Trainer(task, TrainConfig(**values), ALONE, task.network)
