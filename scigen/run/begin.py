"""How a training run begins: anew, from weights, or where its last checkpoint stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scigen.errors import InputError
from scigen.run.build import training_task
from scigen.run.checkpoint import latest
from scigen.run.compiled import compiled
from scigen.run.distributed import World, lead_first
from scigen.run.log import fold_log
from scigen.run.record import WEIGHTS, data_hash
from scigen.run.report import sha256
from scigen.run.schema import Config
from scigen.run.train import Trainer
from scigen.run.weights import read

__all__ = ["Plan", "begin"]

# What a resumed run may change: where it ends or how the same steps are computed, not the recipe.
_FREE = {"train.minutes", "train.steps", "train.checkpoint_minutes", "train.compile"}


@dataclass(frozen=True)
class Plan:
    """What to train, where to, and from what: a config, a folder, its own checkpoints or weights by name or file."""

    config: Config
    out: Path
    resume: bool = False
    start: str | None = None
    data: Path | None = None
    device: str = "auto"


def begin(plan: Plan, world: World, warn: Callable[[str], None]) -> tuple[Trainer, dict[str, Any] | None]:
    """A trainer before its first or next step, and which weights the run began from.

    Raises `InputError` when checkpoint, weights or data do not fit the plan. A checkpoint goes before `plan.start`, so
    that an interrupted command can be repeated as it was with --resume added.
    """
    saved = latest(plan.out, warn) if plan.resume else None
    if saved is not None:
        _same_recipe(saved[1], plan, world, warn)
    task = lead_first(world, lambda: training_task(plan.config, world.device, plan.data, warn))
    forward = compiled(task.network, world.device, plan.config.train.compile, warn)
    trainer = Trainer(task, plan.config.train, world, forward, warn)
    if saved is not None:
        if (data := saved[1].get("data")) not in (None, data_hash(trainer)):
            raise InputError(
                f"'{plan.out}' was trained on other data (content sha256 {data[:12]}); give the same --data."
            )
        trainer.restore(*saved)
        if world.lead:
            fold_log(plan.out, trainer.status.step)
        return trainer, saved[1].get("from")
    if plan.resume:
        warn(f"'{plan.out}' holds no checkpoint yet; the run begins at step 0.")
    if world.lead:
        (plan.out / "log.jsonl").unlink(missing_ok=True)
    return trainer, _from_weights(trainer, plan.start, plan.config) if plan.start else None


def _from_weights(trainer: Trainer, start: str, config: Config) -> dict[str, Any]:
    loaded = read(start)
    ours = {"domain": config.domain, **_flat({"network": config.network.model_dump()})}
    theirs = {"domain": loaded.card.get("domain", config.domain), **_flat({"network": loaded.card["network"]})}
    if changes := _changes(theirs, ours):
        key, (old, new) = next(iter(changes.items()))
        raise InputError(
            f"--from {start}: those weights have {key}={old} and the config asks for {new}{_more(changes)};"
            f" set `-s {key}={old}` or choose other weights."
        )
    trainer.start_from(loaded.network)
    return {"weights": loaded.path.name, "sha256": sha256(loaded.path)}


def _same_recipe(counters: Mapping[str, Any], plan: Plan, world: World, warn: Callable[[str], None]) -> None:
    """Raise `InputError` when the checkpoint was written under another recipe; early ones do not tell."""
    if isinstance(before := counters.get("config"), dict):
        changes = _changes(_flat(before), _flat(plan.config.model_dump(mode="json")))
        if changes := {k: v for k, v in changes.items() if k not in _FREE}:
            key, (old, new) = next(iter(changes.items()))
            raise InputError(
                f"'{plan.out}' was started with {key}={old}, not {new}{_more(changes)}; resume with the same config,"
                f" or begin a new run with --from {plan.out / WEIGHTS} and another --out."
            )
    if (workers := counters.get("workers", world.size)) != world.size:
        warn(f"'{plan.out}' had {workers} workers and goes on with {world.size}: its total batch is another now.")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return out


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys whose value differs; one that the other side does not know yet does not count."""
    return {k: (before[k], after[k]) for k in after if k in before and before[k] != after[k]}


def _more(changes: Mapping[str, Any]) -> str:
    return f" (and {len(changes) - 1} more: {', '.join(list(changes)[1:6])})" if len(changes) > 1 else ""
