"""From a rule on one affine tensor to a move of a whole state.

A solver is written once, for `x_t = alpha x0 + sigma x1` on tensors. On a `Product` its rule moves the affine fields;
every other field has one exact move, its posterior draw, and takes that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

from scigen.denoiser import Belief
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.state import Rng

__all__ = ["Rule", "adjust", "at_data", "move", "refuse_tokens", "shared_affine"]

Rule: TypeAlias = Callable[..., Tensor]  # rule(affine, x, x0, *more) -> x, each argument a field's tensor


def move(
    process: Affine | Product, rule: Rule, t: float, s: float, rng: Rng, x_t: Any, belief: Belief, *more: Any
) -> Any:
    """x_s: `rule` on affine fields, the exact posterior draw on the others; `more`: states or beliefs, by field too."""

    def draw(name: str, part: FieldProcess) -> Tensor:
        return part.step(x_t[name], belief[name], t, s, rng)

    return _each(process, rule, draw, x_t, belief, *more)


def adjust(process: Affine | Product, rule: Rule, x: Any, belief: Belief, *more: Any) -> Any:
    """`rule` on affine fields while the others stay: a second stage, or a correction at the same time."""
    return _each(process, rule, lambda name, part: x[name], x, belief, *more)


def at_data(process: Affine | Product, s: float) -> bool:
    """Whether an affine field has no noise left at `s`, where its state is the belief and epsilon has no meaning."""
    return any(float(affine.sigma(s)) == 0 for affine in _affine_parts(process))


def shared_affine(process: Affine | Product) -> Affine:
    """The one affine process of all affine fields; raises ValueError where they differ or there is none."""
    parts = _affine_parts(process)
    if not parts or any(part != parts[0] for part in parts):
        raise ValueError(
            f"this solver needs one affine process for all fields, {type(process).__name__} has {len(set(parts))}; "
            "use `ddim` or `ancestral`."
        )
    return parts[0]


def refuse_tokens(process: Affine | Product) -> None:
    """Raises ValueError where a field is not affine: a path of the ODE has no draws."""
    parts = process.parts if isinstance(process, Product) else {"x": process}
    if others := [name for name, part in parts.items() if not isinstance(part, Affine)]:
        raise ValueError(
            f"fields {others} are drawn and follow no ODE; give them no process, to hold them, or use `sample`."
        )


def _each(
    process: Affine | Product, rule: Rule, other: Callable[[str, FieldProcess], Tensor], x: Any, *more: Any
) -> Any:
    if not _affine_parts(process):
        raise ValueError(f"this solver needs an affine field and {type(process).__name__} has none; use `ancestral`.")
    if isinstance(process, Affine):
        return rule(process, x, *more)

    def one(name: str, part: FieldProcess) -> Tensor:
        return rule(part, x[name], *(y[name] for y in more)) if isinstance(part, Affine) else other(name, part)

    return process.each(one, x)


def _affine_parts(process: Any) -> list[Affine]:
    parts = process.parts.values() if isinstance(process, Product) else [process]
    return [part for part in parts if isinstance(part, Affine)]
