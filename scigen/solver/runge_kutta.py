"""Dormand and Prince's adaptive Runge-Kutta pair of orders 5 and 4, every row of the batch at its own pace.

J. R. Dormand, P. J. Prince, J. Comput. Appl. Math. 6 (1980) 19.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scigen.errors import NumericError
from scigen.state import expand

__all__ = ["dormand_prince"]

_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # the solution: its slope opens the next step
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_SMALLEST = 1e-10  # share of the whole way below which no step is worth trying


def dormand_prince(
    f: Callable[[Tensor, Tensor], Tensor], y: Tensor, start: float, stop: float, rtol: float, atol: float
) -> tuple[Tensor, Tensor, int]:
    """y(stop) of dy/du = f(y, u), its slope there, and the calls of f; `y [B, ...]`, `u [B]`.

    A row takes its step when |error| <= atol + rtol max(|y|, |y'|), Euclidean norms over the row: rotations and zero
    padding do not show in its steps, nor do other rows. A row that has arrived waits for the rest.
    Raises NumericError when a row's steps shrink to nothing.
    """
    u = torch.full((len(y),), start, dtype=torch.float64)
    h = torch.full_like(u, (stop - start) * min(0.1, rtol**0.2))
    slope, calls = f(y, u), 1
    while bool((u != stop).any()):
        if bool((h.abs() < _SMALLEST * abs(stop - start))[u != stop].any()):
            raise NumericError(
                f"the ODE cannot be followed to rtol={rtol}, atol={atol}: is a belief not finite, or noisy?"
            )
        last = h.abs() >= (stop - u).abs()
        h = torch.where(last, stop - u, h)
        slopes, there = [slope], y
        for node, weights in zip(_NODES, _STAGES):
            there = y + expand(h, y) * _blend(weights, slopes)
            slopes.append(f(there, u + node * h))
        calls += len(_STAGES)
        size = torch.maximum(_norm(y), _norm(there))
        ratio = (_norm(expand(h, y) * _blend(_ERROR, slopes)) / (atol + rtol * size)).double().cpu()
        taken = ratio <= 1  # false for NaN
        u = torch.where(taken, torch.where(last, stop, u + h), u)
        y, slope = (torch.where(expand(taken, y) > 0, b, a) for a, b in ((y, there), (slope, slopes[-1])))
        h = h * (0.9 * ratio.clamp(min=1e-10) ** -0.2).nan_to_num(0.2).clamp(0.2, 5.0)
    return y, slope, calls


def _blend(weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    return torch.stack([w * k for w, k in zip(weights, slopes) if w]).sum(0)


def _norm(y: Tensor) -> Tensor:
    return y.flatten(1).norm(dim=1)
