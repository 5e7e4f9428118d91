"""Shipped weights: bf16 safetensors beside a JSON card; read by name or path, never by pickle."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from scigen.errors import InputError
from scigen.io.atomic import write_bytes, write_text
from scigen.run.build import network
from scigen.run.schema import network_schema

__all__ = ["Weights", "export", "find", "read", "shipped"]

MAX_BYTES = 2_000_000_000
_KEPT = "kept."  # before the names of tensors that are no weights of the network


@dataclass(frozen=True)
class Weights:
    """A network ready to sample, its card, the file it came from, and what else lies there: a bridge's memory."""

    network: nn.Module
    card: Mapping[str, Any]
    path: Path
    kept: Mapping[str, torch.Tensor] = field(default_factory=dict)


def shipped() -> dict[str, Path]:
    """The weights inside the package, by name (`molecules-qm9`)."""
    return {f.stem: f for f in sorted((Path(__file__).resolve().parents[1] / "weights").glob("*.safetensors"))}


def find(name: str) -> Path:
    """A shipped name, or a path to a `.safetensors` file; raises `InputError` with a suggestion."""
    known = shipped()
    if name in known:
        return known[name]
    if Path(name).is_file():
        return Path(name)
    close = difflib.get_close_matches(name, known, 1) or list(known)[:1]
    raise InputError(f"No weights '{name}'; give a .safetensors file or a shipped name such as '{''.join(close)}'.")


def read(name: str) -> Weights:
    """Load weights and card, and build the network in evaluation mode.

    Raises `InputError` when the file, the card or the fit between the two is wrong.
    """
    path = find(name)
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text())
        shape = network_schema(card.get("domain", "molecules")).model_validate(card["network"])
    except FileNotFoundError:
        raise InputError(f"The weights '{path}' have no card; put '{card_path.name}' beside them.") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise InputError(f"The card '{card_path}' cannot be used ({' '.join(str(error).split())}).") from None
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"'{path}' has {path.stat().st_size} bytes; scigen's networks stay under {MAX_BYTES}.")
    data = path.read_bytes()
    net = network(shape)
    try:
        tensors = load(data)
        kept = {k.removeprefix(_KEPT): tensors.pop(k) for k in list(tensors) if k.startswith(_KEPT)}
        net.load_state_dict({k: x.float() for k, x in tensors.items()})
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"'{path}' does not hold the network its card describes ({reason}).") from None
    return Weights(net.eval(), card, path, kept)


def export(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    card: Mapping[str, Any],
    kept: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write the network's tensors in bf16 and the `kept` ones as they are to `path`, and the card beside it."""
    small = {name: x.detach().bfloat16() for name, x in tensors.items()}
    small |= {_KEPT + name: x for name, x in (kept or {}).items()}
    write_bytes(path, save({name: x.cpu().contiguous() for name, x in small.items()}))
    write_text(path.with_suffix(".json"), json.dumps(dict(card), indent=2) + "\n")
