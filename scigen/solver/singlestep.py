"""DPM-Solver: exponential Runge-Kutta, the belief evaluated again inside the step. arXiv:2206.00927.

It keeps nothing from step to step, so it suits a start, a jump, or a state that something else moves in between.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.solver.integral import NOISE, Split, advance, level, nodes_of, spread, time_at
from scigen.solver.lift import move, shared_affine
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng, as_time

__all__ = ["dpm_solver"]

# By order: for each stage the share of the step it reaches, and the earlier stages whose interpolant carries it there.
_STAGES: dict[int, tuple[tuple[float, tuple[int, ...]], ...]] = {
    1: ((1.0, (0,)),),
    2: ((1 / 2, (0,)), (1.0, (1,))),
    3: ((1 / 3, (0,)), (2 / 3, (0, 1)), (1.0, (0, 2))),
}


def dpm_solver(order: int = 2, split: Split = NOISE) -> Solver:
    """DPM-Solver-1, 2, 3 on NOISE (1 is DDIM, 2 is also DPM-2 of Karras et al.); DPM-Solver++(2S), (3S) on DATA.

    Each stage carries x_t to a share of the step in the half log-SNR, by the exact integral of the line through the
    stages named. Tokens take their posterior draw at every stage. Where the log-SNR is infinite there is no middle:
    the move is DDIM's, of one evaluation. arXiv:2206.00927, algorithms 1, 4 and 5.
    Raises ValueError for other orders, and for affine fields that do not share one process.
    """
    if order not in _STAGES:
        raise ValueError(f"`order` must be 1, 2 or 3, got {order}; `adams` goes higher.")

    @declare(order, evaluations=order)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        affine = shared_affine(process)
        first, last = level(affine, t).ell, level(affine, s).ell
        x, stages = x_t, [Memory(denoise(x_t, t, memory and memory.belief), t, x_t)]
        for share, used in _STAGES[order if math.isfinite(last - first) else 1]:
            u = s if share == 1 else float(time_at(affine, as_time(first + share * (last - first)), s, t))

            def rule(affine: Affine, x: Tensor, x0: Tensor, *fields: Tensor) -> Tensor:
                nodes = nodes_of(affine, stages, fields)
                return advance(split, nodes[0], level(affine, u), [nodes[i] for i in used])  # noqa: B023

            x = move(process, rule, stages[-1].t, u, rng, x, stages[-1].belief, *spread(stages))
            if share < 1:
                stages.append(Memory(denoise(x, u, stages[-1].belief), u, x))
        return x, stages[-1]

    return step
