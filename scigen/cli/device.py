"""`--device` of every command that runs a network."""

from __future__ import annotations

from scigen.errors import UsageError

__all__ = ["chosen_device"]


def chosen_device(name: str) -> str:
    """What PyTorch calls the device; "auto" takes a GPU where there is one.

    Raises `UsageError` for a device that this machine has not.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("--device cuda: this PyTorch sees no GPU; use --device cpu.")
    if name != "cpu" and not name.startswith("cuda"):
        raise UsageError(f"--device {name}: choose auto, cpu or cuda.")
    return name
