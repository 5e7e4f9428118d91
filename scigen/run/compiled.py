"""`torch.compile` where the machine can do it, the plain network elsewhere."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["compile_failed", "compiled", "missing_compiler"]


def missing_compiler(device: torch.device) -> str | None:
    """What torch.compile lacks on this machine, or None: a C++ compiler on CPU, Triton and a C compiler on CUDA."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton"
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    if device.type == "cpu":
        names = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    return None if any(name and shutil.which(name) for name in names) else "a compiler (install g++)"


def compiled(network: nn.Module, device: torch.device, wanted: bool, warn: Callable[[str], None]) -> Callable[..., Any]:
    """The network to call in training; without a compiler that is the network itself, and `warn` hears of it."""
    if not wanted:
        return network
    if (lack := missing_compiler(device)) is not None:
        warn(f"`train.compile` needs {lack}, which is not here; training goes on without it, slower.")
        return network
    return torch.compile(network, dynamic=True)


def compile_failed(error: BaseException) -> bool:
    """Whether `error` comes from compiling rather than from running; it may come as late as the first backward pass."""
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)
