"""The training loop: any task, one process or many, bf16, EMA, cosine to the budget, exact resume.

Nothing random outlives a step: batch and noise of step k on rank r come from a generator seeded by (seed, k, r), so a
run that stops and resumes walks the very path of one that did not. What all workers must agree on (time spent, whether
to stop) travels with the gradients, so that none goes on while another waits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from scigen.errors import InputError, NumericError
from scigen.run.checkpoint import pack_optimizer, unpack_optimizer
from scigen.run.compiled import compile_failed
from scigen.run.distributed import World, average_gradients
from scigen.run.pace import Pace
from scigen.run.schema import TrainConfig

__all__ = ["SAVED", "Status", "Task", "Trainer", "hold", "train"]

SPIKE = 10.0  # a gradient norm this many times its running mean is thrown away
MAX_BAD = 20  # consecutive bad steps before the run gives up
SAVED = ("step", "seconds", "samples", "norm", "bad", "skipped")


class Task(Protocol):
    """What a domain hands the loop: a network, facts for the weights card, and the loss of a step."""

    @property
    def network(self) -> nn.Module: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...

    def loss(self, network: Callable[..., Any], step: int, world: World, rng: torch.Generator) -> Any:
        """(total, terms by name, samples in the batch)."""
        ...


@dataclass
class Status:
    """Where a run stands; everything but `terms` is saved."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0
    norm: float = 0.0  # running mean of the gradient norm
    bad: int = 0
    skipped: int = 0
    terms: dict[str, float] = field(default_factory=dict)

    def progress(self, config: TrainConfig) -> float:
        """Share of the budget spent, in [0, 1], of steps or of minutes: whichever is further."""
        done = self.step / config.steps if config.steps else 0.0
        if config.minutes:
            done = max(done, self.seconds / (60 * config.minutes))
        return min(done, 1.0)


@dataclass
class Trainer:
    """A network, its average, its optimiser and the run's status; `forward` is the network or its compiled twin."""

    task: Task
    config: TrainConfig
    world: World
    forward: Callable[..., Any]
    warn: Callable[[str], None] = lambda sentence: None
    status: Status = field(default_factory=Status)
    pace: Pace = field(default_factory=Pace)
    clock: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.network = self.task.network.to(self.world.device)
        hold(self.network, self.config.freeze)
        self.ema = [p.detach().clone() for p in self.network.parameters()]
        c = self.config
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=0.0, betas=c.betas, weight_decay=c.weight_decay, fused=True
        )

    def step(self, stopping: bool = False) -> bool:
        """One update; returns whether any worker is `stopping`.

        A spike or a non-finite gradient leaves the weights as they are; twenty in a row raise `NumericError`.
        """
        state = self.status
        total, terms, samples = self._gradients()
        # Time is counted from step to step, so that writing and reporting in between are in it as well.
        passed, self.clock = time.perf_counter() - self.clock, time.perf_counter()
        mine = torch.tensor([state.step, float(stopping), passed], device=total.device)
        extra = torch.cat([torch.stack([x.detach().float() for x in terms.values()]), mine])
        *means, at, stop, passed = average_gradients(self.network, extra).tolist()
        if abs(at - state.step) > 0.25:
            raise InputError(f"The workers stand at different steps (this one at {state.step}); let all see one --out.")
        self._update()
        self.optimizer.zero_grad()
        state.step += 1
        state.seconds += passed
        state.samples += samples * self.world.size
        state.terms = dict(zip(terms, means, strict=True))
        self.pace.add(passed, samples * self.world.size)
        return stop > 0

    def _gradients(self) -> Any:
        """Loss and gradients of this step; once more by the plain network when compiling it fails."""
        step, world = self.status.step, self.world
        try:
            rng = step_generator(self.config.seed, step, world)
            with torch.autocast(world.device.type, torch.bfloat16, enabled=self.config.bf16):
                total, terms, samples = self.task.loss(self.forward, step, world, rng)
            total.backward()
        except Exception as error:
            if self.forward is self.network or not compile_failed(error):
                raise
            self.warn(f"torch.compile failed ({type(error).__name__}); training goes on without it, slower.")
            self.forward = self.network
            self.optimizer.zero_grad()
            return self._gradients()
        return total, terms, samples

    def _update(self) -> None:
        state, c = self.status, self.config
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), c.clip))
        settled = state.step > c.warmup and state.norm > 0
        if not math.isfinite(norm) or (settled and norm > SPIKE * state.norm):
            state.bad, state.skipped = state.bad + 1, state.skipped + 1
            if state.bad >= MAX_BAD:
                raise NumericError(
                    f"{MAX_BAD} steps in a row up to step {state.step} had a gradient norm that spikes or is not finite"
                    f" ({norm:.3g} now); lower `train.lr` from {c.lr:g} and start again --from the weights so far."
                )
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
        """lr min(1, (k + 1) / warmup) (1 + cos(pi progress)) / 2: linear warm-up, cosine to zero at the end."""
        c = self.config
        warm = min(1.0, (self.status.step + 1) / c.warmup) if c.warmup else 1.0
        return c.lr * warm * 0.5 * (1 + math.cos(math.pi * self.status.progress(c)))

    def seconds_left(self) -> float:
        """Until the budget is spent, at the pace of the last steps."""
        s = self.status
        return self.pace.seconds_left(s.step, s.seconds, self.config.steps, self.config.minutes)

    def average(self) -> dict[str, Tensor]:
        """The averaged parameters by name: what samples best, and what is exported."""
        return {name: x for (name, _), x in zip(self.network.named_parameters(), self.ema, strict=True)}

    def start_from(self, network: nn.Module) -> None:
        """Take over the parameters of a network of the same shape, for the average as well."""
        with torch.no_grad():
            for p, mean, q in zip(self.network.parameters(), self.ema, network.parameters(), strict=True):
                p.copy_(q)
                mean.copy_(q)

    def tensors(self) -> dict[str, Tensor]:
        """Everything a checkpoint holds."""
        return {
            **{f"model.{name}": p for name, p in self.network.named_parameters()},
            **{f"ema.{name}": x for name, x in self.average().items()},
            **{f"optimizer.{name}": x for name, x in pack_optimizer(self.optimizer).items()},
        }

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; raises `InputError` when it is of another network."""
        try:
            with torch.no_grad():
                for (name, p), mean in zip(self.network.named_parameters(), self.ema, strict=True):
                    p.copy_(tensors[f"model.{name}"])
                    mean.copy_(tensors[f"ema.{name}"])
            slots = {k.removeprefix("optimizer."): x for k, x in tensors.items() if k.startswith("optimizer.")}
            unpack_optimizer(self.optimizer, slots)
            self.status = Status(**{k: counters[k] for k in SAVED})
        except (KeyError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"The checkpoint does not fit the network of this config ({reason}).") from None


def train(trainer: Trainer, stopping: Callable[[], bool], after_step: Callable[[Trainer], None]) -> bool:
    """Run to the end of the budget, or to a request to stop by any worker; returns whether it was stopped.

    `after_step` logs, saves and reports; it is called after every step.
    """
    trainer.network.train()
    while trainer.status.progress(trainer.config) < 1:
        stopped = trainer.step(stopping())
        after_step(trainer)
        if stopped:
            return True
    return False


def hold(network: nn.Module, parts: Sequence[str]) -> None:
    """Take the named parts of a network out of training: their parameters keep their values.

    Raises `InputError` for a name that is no part, and when nothing would be left to train.
    """
    known = dict(network.named_modules())
    for part in parts:
        if not part or part not in known:
            names = ", ".join(name for name, _ in network.named_children())
            raise InputError(f"`train.freeze` names '{part}', which is no part of this network; choose from {names}.")
        known[part].requires_grad_(False)
    if not any(p.requires_grad for p in network.parameters()):
        raise InputError(f"`train.freeze` ({', '.join(parts)}) leaves nothing to train; name fewer parts.")


def step_generator(seed: int, step: int, world: World) -> torch.Generator:
    """The generator of one step on one worker.

    The three numbers are hashed: torch's CPU generator reads but the low 32 bits of its seed.
    """
    mixed = np.random.SeedSequence((seed, step, world.rank)).generate_state(1, np.uint64)[0]
    return torch.Generator(world.device).manual_seed(int(mixed >> np.uint64(1)))
