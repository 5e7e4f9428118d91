"""Iterated Markovian fitting: the Schroedinger bridge between two data sets, by regression alone (DSBM).

A law of paths is the Schroedinger bridge when it is both a mixture of bridges and Markov. Projecting on the two in turn
converges to it: fit a drift to the bridges between pairs, let it make new pairs, repeat, from alternate ends so that no
error of a marginal builds up. Shi et al. 2023, arXiv:2303.16852; Peluchetti 2023, arXiv:2304.00917.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scigen.bridge.fit import Fit
from scigen.denoiser import Denoiser
from scigen.process.brownian import Brownian
from scigen.process.interpolant import Ends
from scigen.process.protocol import Process
from scigen.solver.loop import Solver, ancestral, sample
from scigen.state import Rng, Time

__all__ = ["Round", "from_start", "imf"]


@dataclass(frozen=True)
class Round:
    """Beliefs after one round, and the pairs it ends with.

    `to_x0` runs under the bridge from points x1, `to_x1` under `bridge.reverse()` from points x0.
    """

    to_x0: Denoiser
    to_x1: Denoiser
    x0: Tensor
    x1: Tensor

    def ends(self, x_t: Tensor, t: Time, previous: Any = None) -> Ends:
        """The belief about both ends: with `interpolate()`, the probability-flow ODE of the fitted bridge."""
        return Ends(self.to_x0(x_t, t), self.to_x1(x_t, 1 - t))


def imf(
    bridge: Brownian,
    x0: Tensor,
    x1: Tensor,
    fits: tuple[Fit, Fit],
    grid: Sequence[float],
    rng: torch.Generator,
    solver: Solver = ancestral,
) -> Iterator[Round]:
    """Rounds without end, from pairs `[n, ...]` coupled as given (in random order: independently).

    Each round fits x0 and walks down from the data x1, then fits x1 on those pairs and walks up from the data x0.
    `fits` learn towards x0 and towards x1. On Gaussians the error of the coupling shrinks by a fixed factor a round.
    At scale 0 use `from_start` and a fit: that is reflow, which only ever walks down.
    """
    start, end, up = x0, x1, bridge.reverse()
    while True:
        to_x0 = fits[0](bridge, start, end, rng)
        start, end = from_start(bridge, to_x0, x1, grid, rng, solver)
        to_x1 = fits[1](up, end, start, rng)
        end, start = from_start(up, to_x1, x0, grid, rng, solver)
        yield Round(to_x0, to_x1, start, end)


@torch.no_grad()
def from_start(
    process: Process, denoise: Denoiser, x1: Any, grid: Sequence[float], rng: Rng, solver: Solver = ancestral
) -> tuple[Any, Any]:
    """Pairs (x0, x1) that a model makes from start points x1 `[n, ...]` or a `State`: walk down `grid` to x0.

    With an ODE solver and x1 from the source, fitting a flow anew on these pairs is reflow: paths stop crossing, and
    one step becomes enough (arXiv:2209.03003). With `ancestral` on a bridge it is a half-round of `imf`.
    """
    return sample(process, denoise, x1, grid, rng, solver)[0], x1
