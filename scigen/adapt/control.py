"""Control: a frozen network, and a trainable copy of its layers that sees one more input.

Both copies start from the same hidden features; the copy's also carry the control. After every layer the copy's
features are added to the trunk's through linear maps that are zero at first: training starts from the trunk itself and
can only add to it. The maps mix channels and have no bias, so rotations pass. Zhang et al. 2023, arXiv:2302.05543.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from scigen.state import State

__all__ = ["Controlled", "Trunk"]

Hidden = tuple[Tensor, ...]


@runtime_checkable
class Trunk(Protocol):
    """A network that shows its layers: `hidden = layer(*hidden, *context)` between `start` and `finish`.

    The first hidden part is scalars per node `[B, N, channels[0]]`; all parts may be mixed along their last axis.
    `scigen.nn.transformer.GraphTransformer` is one.
    """

    layers: nn.ModuleList

    @property
    def channels(self) -> tuple[int, ...]: ...

    def start(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None) -> tuple[Hidden, Any]: ...

    def finish(self, x: State, logsnr: Tensor, *hidden: Tensor) -> dict[str, Tensor]: ...


class Controlled(nn.Module):
    """`Network` of a trunk, frozen in place, and its control: `features` scalars per node, `x["control"] [B, N, F]`.

    A control (a scaffold, a target value, a class) is invariant: rotate the molecule and it stays. A `Product` without
    a process of that name carries it along unchanged, so every solver and guidance rule works as before; `cfg` of this
    network and its `trunk` exaggerates the control. What to save are the weights outside `trunk.`.

    Raises ValueError for a network that is no `Trunk` (the tensor-product network: its channels mix irreps), and, when
    called, for a state without that field or of another width.
    """

    def __init__(self, trunk: nn.Module, features: int, field: str = "control") -> None:
        super().__init__()
        if not isinstance(trunk, Trunk):
            name = type(trunk).__name__
            raise ValueError(f"a {name} shows no `start`, `layers` and `finish`; control a GraphTransformer instead.")
        self.field = field
        self.copy = copy.deepcopy(trunk.layers).requires_grad_()
        self.trunk: Any = trunk.requires_grad_(False)
        like = next(self.copy.parameters())
        self.entry = _zero(features, trunk.channels[0], like)
        self.exits = nn.ModuleList(_Exits(trunk.channels, like) for _ in trunk.layers)

    def forward(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        hidden, context = self.trunk.start(x, logsnr, previous)
        first, *rest = hidden
        seen = (first + self.entry(self._control(x).to(first.dtype)), *rest)
        for layer, twin, exits in zip(self.trunk.layers, self.copy, self.exits, strict=True):
            seen = twin(*seen, *context)
            hidden = exits(layer(*hidden, *context), seen)
        return self.trunk.finish(x, logsnr, *hidden)

    def _control(self, x: State) -> Tensor:
        width = self.entry.in_features
        if self.field not in x or x[self.field].shape[2:] != (width,):
            got = tuple(x[self.field].shape) if self.field in x else "no such field"
            raise ValueError(f"`{self.field}` must be [B, N, {width}], got {got}; put it in the state.")
        return x[self.field]


class _Exits(nn.Module):
    """hidden + W seen for every part, W = 0 at first."""

    def __init__(self, channels: tuple[int, ...], like: Tensor) -> None:
        super().__init__()
        self.maps = nn.ModuleList(_zero(c, c, like) for c in channels)

    def forward(self, hidden: Hidden, seen: Hidden) -> Hidden:
        return tuple(h + w(s) for h, w, s in zip(hidden, self.maps, seen, strict=True))


def _zero(inputs: int, outputs: int, like: Tensor) -> nn.Linear:
    linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False, device=like.device, dtype=like.dtype)
    nn.init.zeros_(linear.weight)
    return linear
