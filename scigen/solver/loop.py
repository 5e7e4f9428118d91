"""The one reverse loop: walk a falling time grid, one solver move per interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, cast

from scigen.denoiser import Belief, Denoiser
from scigen.process.protocol import Process
from scigen.state import Rng

__all__ = ["Memory", "Solver", "ancestral", "declare", "sample"]


@dataclass(frozen=True)
class Memory:
    """What a move leaves to the next: the belief it used, its time, the state it was formed at, and the move before.

    Self-conditioning reads the belief. Multistep solvers leave `x` and as many moves as they will ask for, no more:
    a run then holds a few states, whatever its length.
    """

    belief: Belief
    t: float
    x: Any = None
    before: Memory | None = None

    def history(self, t: float, length: int) -> list[Memory]:
        """At most `length` moves made from other times than `t`, the latest first.

        A belief formed at t itself (Heun's second one) has no slope to give, and hides those before it.
        """
        if self.t == t or length == 0:
            return []
        return [self, *(self.before.history(self.t, length - 1) if self.before else [])]

    def after(self, moves: list[Memory]) -> Memory:
        """This move with `moves`, the latest first, before it."""
        return replace(self, before=moves[0].after(moves[1:]) if moves else None)


class Solver(Protocol):
    """One move x_t -> x_s, s < t. `memory` is None on the first move.

    `order` is the power of the step size by which the error of a whole run falls: along each path for the solvers that
    draw nothing, in law (mean and variance) for those that do. `evaluations` is the denoiser calls of one move.
    """

    order: int
    evaluations: int

    def __call__(
        self, process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]: ...


Move: TypeAlias = Callable[[Any, Denoiser, Any, float, float, Rng, Memory | None], tuple[Any, Memory]]


def declare(order: int, evaluations: int = 1) -> Callable[[Move], Solver]:
    """Turn a plain move into a `Solver` by writing its claims on it; a test measures every one of them."""

    def mark(move: Move) -> Solver:
        vars(move).update(order=order, evaluations=evaluations)
        return cast(Solver, move)

    return mark


@declare(order=1)
def ancestral(
    process: Process, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """The exact posterior draw q(x_s | x_t, belief): the move that every process has."""
    belief = denoise(x_t, t, memory and memory.belief)
    return process.step(x_t, belief, t, s, rng), Memory(belief, t)


def sample(
    process: Process, denoise: Denoiser, x: Any, grid: Iterable[float], rng: Rng, solver: Solver = ancestral
) -> tuple[Any, Belief]:
    """Run `x` from grid[0] down to grid[-1]; returns the last state and the last belief about x0.

    Decode the belief: it carries no residual noise, whether or not the grid and the process reach sigma = 0.
    Raises ValueError when the grid does not fall.
    """
    memory: Memory | None = None
    for t, s in pairwise(float(u) for u in grid):
        if not 1 >= t > s >= 0:
            raise ValueError(f"`grid` must fall within [0, 1] from the source to the data, got {t} followed by {s}.")
        x, memory = solver(process, denoise, x, t, s, rng, memory)
    if memory is None:
        raise ValueError("`grid` needs at least two times, from the source down to the data.")
    return x, memory.belief
