"""Couplings that compute nothing: as drawn, as given, or as a model says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from scigen.state import State

__all__ = ["Coupling", "from_model", "independent", "paired"]

Coupling: TypeAlias = Callable[[Any, Any], Any]  # (x0, x1) -> x1, on States or on tensors [B, ...]


def independent(x0: Any, x1: Any) -> Any:
    """x1 as drawn."""
    return x1


def paired(field: str = "pos", start: str = "start") -> Coupling:
    """Pairs that the data bring along: `field` of x1 is the field `start` of x0, its other fields are as drawn.

    For bridges on paired data (arXiv:2302.05872): force-field and relaxed geometry, partial and whole cloud. Raises
    ValueError when the data have no such field or its shape is another.
    """

    def couple(x0: State, x1: State) -> State:
        if start not in x0:
            raise ValueError(f"the data carry no start points `{start}` for `{field}`, only {sorted(x0.fields)}.")
        if x0[start].shape != x0[field].shape:
            shapes = tuple(x0[start].shape), tuple(x0[field].shape)
            raise ValueError(f"start points `{start}` must be shaped like `{field}`, got {shapes[0]} for {shapes[1]}.")
        return x1.replace(**{field: x0[start]})

    return couple


def from_model(encode: Callable[[Any], Any]) -> Coupling:
    """x1 = encode(x0): the end of a model's ODE run up from the data; the x1 drawn is not used.

    Straightens a flow as reflow does (arXiv:2209.03003) without leaving the data. `bridge.from_start` runs down from x1
    and changes x0 instead.
    """
    return lambda x0, x1: encode(x0)
