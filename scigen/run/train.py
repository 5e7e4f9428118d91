"""The training loop: any task, one process or many, bf16, EMA, cosine to the budget, exact resume.

Nothing random outlives a step: batch and noise of step k on rank r come from a generator seeded by (seed, k, r), so a run
that stops and resumes walks the very path of one that did not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scigen.errors import InputError, NumericError
from scigen.run.checkpoint import latest, pack_optimizer, save_checkpoint, unpack_optimizer
from scigen.run.config import Config, TrainConfig
from scigen.run.distributed import World, average_gradients

__all__ = ["Status", "Task", "Trainer", "train"]

SPIKE = 10.0  # a gradient norm this many times its running mean is thrown away
MAX_BAD = 20  # consecutive bad steps before the run gives up


class Task(Protocol):
    """What a domain hands the loop: a network and the loss of a step."""

    network: nn.Module

    def loss(self, network: Callable[..., Any], step: int, world: World, rng: torch.Generator) -> Any:
        """(total, terms by name, samples in the batch)."""
        ...


@dataclass
class Status:
    """Where a run stands; everything but `terms` and `rate` is saved."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0
    norm: float = 0.0  # running mean of the gradient norm
    bad: int = 0
    skipped: int = 0
    terms: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0

    def progress(self, config: TrainConfig) -> float:
        """Share of the budget spent, in [0, 1]: steps when they are given, minutes otherwise."""
        done = self.step / config.steps if config.steps else 0.0
        if config.minutes:
            done = max(done, self.seconds / (60 * config.minutes))
        return min(done, 1.0)


@dataclass
class Trainer:
    """A network, its average, its optimiser and the run's status."""

    task: Task
    config: TrainConfig
    world: World
    status: Status = field(default_factory=Status)

    def __post_init__(self) -> None:
        self.network = self.task.network.to(self.world.device)
        self.forward = torch.compile(self.network, dynamic=True) if self.config.compile else self.network
        self.ema = [p.detach().clone() for p in self.network.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=0.0, betas=self.config.betas, weight_decay=self.config.weight_decay, fused=True
        )

    def step(self) -> None:
        """One update; a spike or a non-finite gradient leaves the weights as they are."""
        began, state, rank = time.perf_counter(), self.status, self.world.rank
        rng = torch.Generator(self.world.device)
        rng.manual_seed((self.config.seed << 40) + state.step * 4096 + rank)
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.config.bf16):
            total, terms, samples = self.task.loss(self.forward, state.step, self.world, rng)
        total.backward()
        extra = torch.stack([*(x.detach().float() for x in terms.values()), torch.tensor(state.seconds).to(total)])
        means = average_gradients(self.network, extra).tolist()
        self._update()
        self.optimizer.zero_grad()
        state.seconds = means[-1] + time.perf_counter() - began
        state.step += 1
        state.samples += samples * self.world.size
        state.terms = dict(zip(terms, means, strict=False))

    def _update(self) -> None:
        state, c = self.status, self.config
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), c.clip))
        settled = state.step > c.warmup and state.norm > 0
        if not math.isfinite(norm) or (settled and norm > SPIKE * state.norm):
            state.bad, state.skipped = state.bad + 1, state.skipped + 1
            if state.bad >= MAX_BAD:
                raise NumericError(f"{MAX_BAD} steps in a row had a spiking or non-finite gradient; lower `train.lr`.")
            return
        state.bad = 0
        state.norm = 0.98 * state.norm + 0.02 * norm if state.norm else norm
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.step()
        # A young average follows fast: decay min(ema, (1 + k) / (10 + k)).
        decay = min(c.ema, (1 + state.step) / (10 + state.step))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.network.parameters()], 1 - decay)

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to zero at the end of the budget."""
        c = self.config
        warm = min(1.0, (self.status.step + 1) / c.warmup) if c.warmup else 1.0
        return c.lr * warm * 0.5 * (1 + math.cos(math.pi * self.status.progress(c)))

    def tensors(self) -> dict[str, Tensor]:
        """Everything a checkpoint holds."""
        names = [name for name, _ in self.network.named_parameters()]
        return {
            **{f"model.{name}": p for name, p in self.network.named_parameters()},
            **{f"ema.{name}": p for name, p in zip(names, self.ema, strict=True)},
            **{f"optimizer.{name}": x for name, x in pack_optimizer(self.optimizer).items()},
        }

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Continue from a checkpoint; raises `InputError` when it is of another network."""
        names = [name for name, _ in self.network.named_parameters()]
        try:
            with torch.no_grad():
                for (name, p), mean in zip(self.network.named_parameters(), self.ema, strict=True):
                    p.copy_(tensors[f"model.{name}"])
                    mean.copy_(tensors[f"ema.{name}"])
            slots = {k.removeprefix("optimizer."): x for k, x in tensors.items() if k.startswith("optimizer.")}
            unpack_optimizer(self.optimizer, slots)
            saved = {k: counters[k] for k in ("step", "seconds", "samples", "norm", "bad", "skipped")}
        except (KeyError, RuntimeError) as error:
            raise InputError(f"The checkpoint is of another network than {len(names)} parameters here ({error}).") from None
        self.status = Status(**saved)


def train(
    task: Task, config: Config, world: World, folder: Path, resume: bool, report: Callable[[Trainer], None]
) -> Trainer:
    """Run to the end of the budget; checkpoints and `log.jsonl` go to `folder`, `report` is called after each step."""
    trainer = Trainer(task, config.train, world)
    if resume and (found := latest(folder)) is not None:
        trainer.restore(*found)
    saved = logged = trainer.status.seconds
    try:
        while trainer.status.progress(config.train) < 1:
            trainer.step()
            state = trainer.status
            state.rate = state.samples / max(state.seconds, 1e-9)
            if world.lead and state.seconds - logged > 10:
                _log(folder, trainer)
                logged = state.seconds
            if world.lead and state.seconds - saved > 60 * config.train.checkpoint_minutes:
                _save(folder, trainer)
                saved = state.seconds
            report(trainer)
    finally:
        if world.lead:
            _log(folder, trainer)
            _save(folder, trainer)
    return trainer


def _save(folder: Path, trainer: Trainer) -> None:
    s = trainer.status
    counters = {k: getattr(s, k) for k in ("step", "seconds", "samples", "norm", "bad", "skipped")}
    save_checkpoint(folder, s.step, trainer.tensors(), counters)


def _log(folder: Path, trainer: Trainer) -> None:
    s = trainer.status
    row = {"step": s.step, "minutes": s.seconds / 60, "samples": s.samples, "lr": trainer.learning_rate(), "norm": s.norm}
    with (folder / "log.jsonl").open("a") as handle:
        handle.write(json.dumps({**row, "skipped": s.skipped, **s.terms}) + "\n")
