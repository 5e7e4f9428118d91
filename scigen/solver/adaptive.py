"""Adaptive steps for the probability-flow ODE: the accuracy is asked for, not the number of steps.

On the arc z = x_t / sqrt(alpha^2 + sigma^2), by the angle phi = arctan(sigma / alpha), every affine process is
    dz / dphi = (cos(phi) z - x0) / sin(phi),
smooth from pure noise, phi = pi / 2, to the data. Song et al. 2021, arXiv:2011.13456, section 4.3.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.solver.integral import level, time_at
from scigen.solver.lift import refuse_tokens, shared_affine
from scigen.solver.runge_kutta import dormand_prince
from scigen.state import expand

__all__ = ["Run", "rk45"]

_LEAST = 1e-4  # sigma / alpha from which one step to sigma = 0 takes the belief: an error of its square


class Run(NamedTuple):
    """The end of the path, the belief there, and the calls of the denoiser."""

    x: Any
    belief: Belief
    evaluations: int


def rk45(
    process: Affine | Product,
    denoise: Denoiser,
    x: Any,
    start: float = 1.0,
    stop: float = 0.0,
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> Run:
    """x at `stop` on the path through `x` at `start`, by Dormand-Prince's pair 5(4), in either direction.

    The error of a step, in z of unit scale, stays below atol + rtol |z| for every sample alone (Euclidean norms): a
    sample does not depend on its batch, and samples at different times share a call of the denoiser, which sees times
    `[B]` and no previous belief. Where sigma(stop) = 0, the last 1e-4 of sigma / alpha are one step to the belief.
    Raises ValueError for tokens, which follow no ODE, for affine fields of different processes, and for a start
    without noise; NumericError when the steps shrink to nothing.
    """
    refuse_tokens(process)
    affine, arc = shared_affine(process), _Arc(process, x)
    first, last = (_angle(affine, t) for t in (start, stop))
    if first == 0 or not 0 <= min(start, stop) < max(start, stop) <= 1:
        raise ValueError(f"`start` and `stop` must be two times in [0, 1], noise at the first, got {start} and {stop}.")
    low, high = min(start, stop), max(start, stop)

    def slope(z: Tensor, phi: Tensor) -> Tensor:
        t = time_at(affine, -phi.tan().log(), low, high)
        belief = arc.pack(denoise(arc.unpack(z, affine.scale(t)), t))
        return (expand(phi.cos(), z) * z - belief) / expand(phi.sin(), z)

    z = arc.pack(x) / float(affine.scale(start))
    end = max(last, math.atan(_LEAST))
    z, velocity, calls = dormand_prince(slope, z, first, end, rtol, atol)
    belief = math.cos(end) * z - math.sin(end) * velocity
    x_stop = arc.unpack(z if last else belief, affine.scale(torch.full((len(z),), stop, dtype=torch.float64)))
    return Run(x_stop, arc.beliefs(belief), calls)


class _Arc:
    """Affine fields of a state as rows `[B, D]` of numbers, and back onto the state's constraints."""

    def __init__(self, process: Affine | Product, like: Any) -> None:
        self.process, self.like = process, like
        names = process.parts if isinstance(process, Product) else ("",)
        self.shapes = {name: (like[name] if name else like).shape for name in names}

    def pack(self, x: Any) -> Tensor:
        return torch.cat([(x[name] if name else x).flatten(1) for name in self.shapes], 1)

    def fields(self, rows: Tensor) -> dict[str, Tensor]:
        """The tensors of each field."""
        sizes = [shape[1:].numel() for shape in self.shapes.values()]
        return {n: y.reshape(self.shapes[n]) for n, y in zip(self.shapes, rows.split(sizes, 1))}

    def unpack(self, rows: Tensor, scale: Tensor) -> Any:
        fields = self.fields(expand(scale, rows) * rows)
        return self.process.project(self.like.replace(**fields)) if isinstance(self.process, Product) else fields[""]

    def beliefs(self, rows: Tensor) -> Belief:
        fields = self.fields(rows)
        return fields if isinstance(self.process, Product) else fields[""]


def _angle(affine: Affine, t: float) -> float:
    at = level(affine, t)
    return math.atan2(at.sigma, at.alpha)
