"""Training checkpoints: one safetensors file with the counters in its header, written atomically, the last two kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scigen.errors import InputError
from scigen.io.atomic import write_bytes

__all__ = ["latest", "load_tensors", "pack_optimizer", "save_checkpoint", "unpack_optimizer"]

KEEP = 2


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> Path:
    """Write `step-XXXXXXXX.safetensors` and drop all but the last two."""
    path = folder / f"step-{step:08d}.safetensors"
    contiguous = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    write_bytes(path, save(contiguous, {"scigen": json.dumps(dict(counters))}))
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def latest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest readable checkpoint of a run, or None; a damaged one is passed over for the one before."""
    found = sorted((f for f in folder.glob("step-*.safetensors") if re.fullmatch(r"step-\d+", f.stem)), reverse=True)
    problems = []
    for path in found:
        try:
            return load_tensors(path)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError(f"No checkpoint in '{folder}' can be read: {problems[0]}")
    return None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and counters of one file; raises `InputError` when it is damaged or foreign."""
    try:
        with safe_open(path, "pt") as handle:
            counters = json.loads((handle.metadata() or {}).get("scigen", "null"))
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{path}' is not a readable checkpoint ({error}).") from None
    if not isinstance(counters, dict):
        raise InputError(f"'{path}' holds tensors but no training counters; it is not a checkpoint of `scigen train`.")
    return tensors, counters


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimiser state as flat tensors, named `<parameter number>.<slot>`."""
    state = optimizer.state_dict()["state"]
    return {f"{k}.{slot}": torch.as_tensor(x) for k, slots in state.items() for slot, x in slots.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `pack_optimizer` took."""
    tree = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, x in tensors.items():
        number, slot = name.split(".", 1)
        state.setdefault(int(number), {})[slot] = x
    optimizer.load_state_dict({**tree, "state": state})
