"""Parameters of a family of shapes: a frozen dataclass whose fields say what may be drawn.

    @dataclass(frozen=True)
    class Mug:
        height: float = span(8, 12, "cm")
        handle: str = one_of(ear=2, ring=1)

`draw(Mug, rng)` fills every field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

__all__ = ["Choice", "Span", "choices", "count", "draw", "one_of", "span", "spans"]

P = TypeVar("P")


@dataclass(frozen=True)
class Span:
    """A continuous parameter, uniform on [low, high] in a unit; "1" is a ratio."""

    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Choice:
    """A discrete parameter: the options and their probabilities."""

    options: tuple[Any, ...]
    chances: tuple[float, ...]


def span(low: float, high: float, unit: str = "1") -> Any:
    """A field drawn uniformly from [low, high]."""
    return field(metadata={"law": Span(low, high, unit)})


def one_of(**weights: float) -> Any:
    """A field that is one of the names, each as likely as its share of the weights."""
    total = sum(weights.values())
    return field(metadata={"law": Choice(tuple(weights), tuple(w / total for w in weights.values()))})


def count(low: int, high: int) -> Any:
    """A field that is a whole number from `low` to `high`, all equally likely."""
    options = tuple(range(low, high + 1))
    return field(metadata={"law": Choice(options, (1 / len(options),) * len(options))})


def spans(kind: type[Any]) -> Mapping[str, Span]:
    """The continuous parameters of a family, in order."""
    return {f.name: f.metadata["law"] for f in fields(kind) if isinstance(f.metadata["law"], Span)}


def choices(kind: type[Any]) -> Mapping[str, Choice]:
    """The discrete parameters of a family, in order."""
    return {f.name: f.metadata["law"] for f in fields(kind) if isinstance(f.metadata["law"], Choice)}


def draw(kind: type[P], rng: np.random.Generator) -> P:
    """One object's parameters; every field takes one draw of the generator, in order."""
    values: dict[str, Any] = {}
    for name, law in {f.name: f.metadata["law"] for f in fields(kind)}.items():  # type: ignore[arg-type]
        u = rng.random()
        if isinstance(law, Span):
            values[name] = law.low + u * (law.high - law.low)
        else:
            pick = int(np.searchsorted(np.cumsum(law.chances), u, side="right"))
            values[name] = law.options[min(pick, len(law.options) - 1)]
    return kind(**values)
