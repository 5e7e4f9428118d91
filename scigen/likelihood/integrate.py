"""Dormand and Prince's adaptive Runge-Kutta pair of orders 5 and 4, on tensors.

J. R. Dormand, P. J. Prince, J. Comput. Appl. Math. 6 (1980) 19.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scigen.errors import NumericError

__all__ = ["dormand_prince"]

NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # the solution: its slope opens the next step
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def dormand_prince(
    f: Callable[[Tensor, float], Tensor], y: Tensor, start: float, end: float, tol: float
) -> tuple[Tensor, int]:
    """y(end) of dy/dt = f(y, t) from y(start) = `y [B, ...]`, and the evaluations of f spent.

    A step is kept when every row's root mean square of error / (tol + tol |y|) is at most 1; rows share their steps.
    Raises NumericError when the steps shrink to nothing: f is not finite, or not smooth at the scale of `tol`.
    """
    t, h, slope, spent = start, (end - start) / 20, f(y, start), 1
    while t != end:
        if abs(h) < 1e-12 * abs(end - start):
            raise NumericError(f"the ODE cannot be followed at {t:.6g}: step {h:.1e} at tol {tol}; raise the tolerance.")
        last = abs(h) >= abs(end - t)
        h = end - t if last else h
        slopes, there = [slope], y
        for node, weights in zip(NODES[1:], STAGES):
            there = y + h * _blend(weights, slopes)
            slopes.append(f(there, t + node * h))
        spent += len(STAGES)
        bound = tol + tol * torch.maximum(y.abs(), there.abs())
        ratio = (h * _blend(ERROR, slopes) / bound).flatten(1).square().mean(1).sqrt().max().item()
        if ratio <= 1:
            t, y, slope = end if last else t + h, there, slopes[-1]
        # The fifth root, as the error of the fourth-order companion is of fifth order; NaN shrinks the step too.
        h *= min(max(0.9 * ratio**-0.2, 0.2), 10.0) if ratio > 0 else (10.0 if ratio == 0 else 0.2)
    return y, spent


def _blend(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    return torch.stack([w * k for w, k in zip(weights, slopes) if w]).sum(0)
