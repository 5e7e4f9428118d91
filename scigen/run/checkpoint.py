"""Training checkpoints: one safetensors file with counters and a digest in its header, written atomically, two kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scigen.errors import InputError
from scigen.io.atomic import write_bytes

__all__ = ["clean", "found", "latest", "load_tensors", "pack_optimizer", "save_checkpoint", "unpack_optimizer"]

KEEP = 2
MAX_HEADER = 8_000_000  # bytes; ours have some 50,000


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> Path:
    """Write `step-XXXXXXXX.safetensors`; of the others only the one before it stays.

    Raises ResourceError when it cannot be written: the older ones are then untouched.
    """
    path = folder / f"step-{step:08d}.safetensors"
    contiguous = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    # One key: safetensors writes several in random order, and the same run must give the same file.
    sealed = {"counters": dict(counters), "sha256": _digest(contiguous, counters)}
    write_bytes(path, save(contiguous, {"scigen": json.dumps(sealed)}))
    others = [file for file in found(folder) if file != path]
    older = [file for file in others if file < path]
    # One with a later step could not be read when this run resumed before it, or it would have started there.
    for file in set(others) - set(older[-(KEEP - 1) :]):
        file.unlink(missing_ok=True)
    return path


def found(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(f for f in folder.glob("step-*.safetensors") if re.fullmatch(r"step-\d+", f.stem))


def clean(folder: Path) -> None:
    """Remove the half-written neighbours that a killed run leaves behind; call it while holding the folder."""
    for file in folder.glob(".*.tmp"):
        file.unlink(missing_ok=True)


def latest(
    folder: Path, warn: Callable[[str], None] = lambda sentence: None
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest readable checkpoint of a run, or None.

    A damaged one is passed over for the one before, and `warn` hears of it. Raises `InputError` when there are
    checkpoints and none can be read.
    """
    problems = []
    for path in reversed(found(folder)):
        try:
            tensors, counters = load_tensors(path)
        except InputError as error:
            problems.append(str(error))
            continue
        if problems:
            warn(f"{problems[0]} Continuing from '{path.name}'.")
        return tensors, counters
    if problems:
        raise InputError(f"No checkpoint in '{folder}' can be read; start again in another folder. {problems[0]}")
    return None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and counters of one file; raises `InputError` when it is damaged or foreign."""
    try:
        with path.open("rb") as handle:
            if int.from_bytes(handle.read(8), "little") > MAX_HEADER:
                raise ValueError("its header has no sensible length")
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sealed = json.loads(header.get("scigen", "null"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not a readable checkpoint ({' '.join(str(error).split())}).") from None
    if isinstance(sealed, dict) and "step" in sealed:  # an early checkpoint: counters alone, no digest
        return tensors, sealed
    if not isinstance(sealed, dict) or not isinstance(counters := sealed.get("counters"), dict):
        raise InputError(f"'{path}' holds tensors but no training counters; it is not a checkpoint of `scigen train`.")
    if sealed.get("sha256") != _digest(tensors, counters):
        raise InputError(f"'{path}' is damaged: its content does not match its digest.")
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


def _digest(tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> str:
    """SHA-256 over counters, names, types, shapes and bytes: what a bit flip can change without breaking the format."""
    digest = hashlib.sha256(json.dumps(dict(counters), sort_keys=True).encode())
    for name in sorted(tensors):
        x = tensors[name]
        digest.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
        digest.update(x.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
