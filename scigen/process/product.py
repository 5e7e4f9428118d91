"""Product: one process per field of a `State`, all on the same clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from scigen.process.protocol import FieldProcess
from scigen.state import Rng, State, Time

__all__ = ["Product", "unchanged"]

Belief = Mapping[str, Tensor]


def unchanged(x: State) -> State:
    """The projection of a state with no constraint."""
    return x


@dataclass(frozen=True)
class Product:
    """`parts` by field name; fields without a part are carried along untouched.

    `project` puts a state back onto its constraints (zero centre of mass, symmetric bonds, padding): noise that is
    drawn freely and then projected has the projected law, so no process needs to know the constraint.
    """

    parts: Mapping[str, FieldProcess]
    project: Callable[[State], State] = unchanged

    def source(self, like: State, rng: Rng) -> State:
        """The source of every field."""
        return self.each(lambda name, part: part.source(like[name], rng), like)

    def noise(self, x0: State, x1: State, t: Time, rng: Rng) -> State:
        """Every field noised to the same t."""
        return self.each(lambda name, part: part.noise(x0[name], x1[name], t, rng), x0)

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, rng: Rng) -> State:
        """Every field moved by its exact posterior draw."""
        return self.each(lambda name, part: part.step(x_t[name], belief[name], t, s, rng), x_t)

    def each(self, f: Callable[[str, FieldProcess], Tensor], like: State) -> State:
        """Exchange every field that has a part by `f(name, part)`, then project."""
        return self.project(like.replace(**{name: f(name, part) for name, part in self.parts.items()}))
