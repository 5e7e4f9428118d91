"""Keep the path of a run: `sample` returns its last state only, a recorded solver notes every one."""

from __future__ import annotations

from typing import Any

from scigen.denoiser import Denoiser
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng

__all__ = ["recorded"]


def recorded(solver: Solver, path: list[tuple[float, Any]]) -> Solver:
    """`solver`, appending (t, x_t) to `path`: the start once, then every state reached. Use a new list for each run."""

    @declare(order=solver.order, evaluations=solver.evaluations)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        if not path:
            path.append((t, x_t))
        x_s, left = solver(process, denoise, x_t, t, s, rng, memory)
        path.append((s, x_s))
        return x_s, left

    return step
