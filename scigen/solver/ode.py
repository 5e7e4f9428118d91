"""Runge-Kutta on the probability-flow ODE in t: dx/dt = alpha' x0 + sigma' eps.

The clock is the process's own t, so these differ from process to process (DDIM and DPM-Solver do not).
Song et al. 2021, arXiv:2011.13456; Karras et al. 2022, arXiv:2206.00364.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser, velocity
from scigen.process.affine import Affine
from scigen.solver.dpm import ddim_step
from scigen.solver.lift import Rule, adjust, at_data, move
from scigen.solver.loop import Memory, declare
from scigen.state import Rng

__all__ = ["euler", "heun", "two_stages"]


@declare(order=1)
def euler(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """x_s = x_t + (s - t) dx/dt.

    Under VP dx/dt is steep near t = 0 (sigma ~ sqrt t): a last step to 0 leaves noise in x, though not in the belief.
    """

    def rule(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
        return x + (s - t) * velocity(affine, x, x0, t)

    belief = denoise(x_t, t, memory and memory.belief)
    return move(process, rule, t, s, rng, x_t, belief), Memory(belief, t)


@declare(order=2, evaluations=2)
def heun(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """EDM's second-order step: Euler, then the mean of the slopes at both ends.

    Tokens are drawn once, with the Euler step. Where sigma_s = 0 there is no slope: the step ends on the belief, as
    EDM's Euler step does. Algorithm 1 of arXiv:2206.00364, whose own clock sigma = t is an `Affine` like any other.
    """

    def predict(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
        return x + (s - t) * velocity(affine, x, x0, t)

    def correct(affine: Affine, x_s: Tensor, x0_s: Tensor, x: Tensor, x0: Tensor) -> Tensor:
        return (x + x_s + (s - t) * velocity(affine, x_s, x0_s, s)) / 2  # x_s - x holds the first slope

    return two_stages(process, denoise, x_t, t, s, rng, memory, predict, correct)


def two_stages(
    process: Any,
    denoise: Denoiser,
    x_t: Any,
    t: float,
    s: float,
    rng: Rng,
    memory: Memory | None,
    predict: Rule,
    correct: Rule,
) -> tuple[Any, Memory]:
    """`predict(affine, x, x0)` to x_s, then `correct(affine, x_s, x0_s, x, x0)` with the belief at the point reached.

    Where sigma_s = 0 there is no second slope: the move is the belief.
    """

    def finish(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
        return ddim_step(affine, x, x0, t, s, 0.0, rng)

    belief = denoise(x_t, t, memory and memory.belief)
    if at_data(process, s):
        return move(process, finish, t, s, rng, x_t, belief), Memory(belief, t)
    x_s = move(process, predict, t, s, rng, x_t, belief)
    second = denoise(x_s, s, belief)
    return adjust(process, correct, x_s, second, x_t, belief), Memory(second, s)
