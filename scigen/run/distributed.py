"""The few collectives that data-parallel training needs, the same code for one process and for many."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scigen.errors import UsageError

__all__ = ["World", "average_gradients", "join", "lead_first", "leave"]

Made = TypeVar("Made")
_PATIENCE = timedelta(hours=12)  # for the lead, that prepares data while the others wait; torchrun ends them if it dies


@dataclass(frozen=True)
class World:
    """This process among the workers that torchrun started (one, without torchrun)."""

    rank: int
    size: int
    device: torch.device

    @property
    def lead(self) -> bool:
        """Whether this worker writes files and speaks."""
        return self.rank == 0


def join(device: str = "auto") -> World:
    """Join the process group that the environment names; nccl on CUDA, gloo elsewhere.

    On CPU each of several workers gets one thread: two threads in one process lose to two processes.
    Raises `UsageError` for a device that is not there.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = _device(device, size)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if size > 1:
        if chosen.type == "cpu":
            torch.set_num_threads(1)
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    return World(rank, size, chosen)


def lead_first(world: World, make: Callable[[], Made]) -> Made:
    """`make()` on the lead with all workers' cores, then on the others, which find in the cache what it left there."""
    if not dist.is_initialized():
        return make()
    if not world.lead:
        dist.barrier()
        return make()
    threads = torch.get_num_threads()
    torch.set_num_threads(world.size if world.device.type == "cpu" else threads)
    made = make()
    torch.set_num_threads(threads)
    dist.barrier()
    return made


def leave() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def average_gradients(model: nn.Module, extra: Tensor) -> Tensor:
    """Replace gradients by their mean over workers in one collective; returns the mean of `extra` (1-D) as well.

    `extra` carries what all workers must agree on (losses, time, stop), so that they never drift apart.
    """
    if not dist.is_initialized():
        return extra
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in grads] + [extra.to(grads[0])])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 0
    for g in grads:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()
    return flat[start:]


def _device(name: str, workers: int) -> torch.device:
    cuda = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not cuda):
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if name != "auto" and (kind != "cuda" or not (number or "0").isdigit()):
        raise UsageError(f"--device {name}: choose auto, cpu or cuda.")
    if not cuda:
        raise UsageError(f"--device {name}: this PyTorch sees no GPU; use --device cpu.")
    # Under torchrun every worker of a machine has its own; alone, the one that was asked for.
    index = int(os.environ.get("LOCAL_RANK", 0)) if workers > 1 else int(number or 0)
    if index >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: there is no GPU {index}; start at most one worker per GPU.")
    return torch.device("cuda", index)
