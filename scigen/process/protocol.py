"""What a sampler asks of a process: a source, a way to noise, and the exact posterior draw."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from scigen.state import Rng, Time

__all__ = ["FieldProcess", "Process"]


class FieldProcess(Protocol):
    """A process on one tensor: coordinates, or integer tokens with a belief `[..., K]`."""

    def source(self, like: Tensor, rng: Rng) -> Tensor: ...

    def noise(self, x0: Tensor, x1: Tensor, t: Time, rng: Rng) -> Tensor: ...

    def step(self, x_t: Tensor, belief: Tensor, t: Time, s: Time, rng: Rng) -> Tensor: ...


class Process(Protocol):
    """The same three moves on a tensor or on a whole `State`; t = 0 is data, t = 1 the source."""

    def source(self, like: Any, rng: Rng) -> Any: ...

    def noise(self, x0: Any, x1: Any, t: Time, rng: Rng) -> Any: ...

    def step(self, x_t: Any, belief: Any, t: Time, s: Time, rng: Rng) -> Any: ...
