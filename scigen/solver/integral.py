"""One step of an exponential integrator: the probability-flow ODE with its linear part solved exactly.

In the half log-SNR ell = log(alpha / sigma), or in rho = sigma / alpha, the path obeys any of
    d(x / sigma) / d ell = (alpha / sigma) x0,  d(x / alpha) / d ell = -(sigma / alpha) eps, d(x / alpha) / d rho = eps,
so a step needs the integral of the belief alone, known at a few nodes. A solver of this family is a choice of nodes:
the polynomial through them is integrated exactly, whatever their spacing. arXiv:2206.00927, arXiv:2211.01095.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.solver.loop import Memory

__all__ = [
    "DATA", "NATURAL", "NOISE", "Level", "Node", "Split",
    "advance", "integral", "level", "moments", "nodes_of", "spread", "time_at",
]  # fmt: skip


class Level(NamedTuple):
    """Noise level at one time, as Python floats: a step then costs the denoiser's device no scalar."""

    alpha: float
    sigma: float
    ell: float

    @property
    def rho(self) -> float:
        """sigma / alpha, the clock in which eps is the velocity."""
        return math.exp(-self.ell)


class Node(NamedTuple):
    """A belief `x0`, the state `x` it was formed at, and the level."""

    level: Level
    x: Tensor
    x0: Tensor

    @property
    def eps(self) -> Tensor:
        """(x - alpha x0) / sigma."""
        return (self.x - self.level.alpha * self.x0) / self.level.sigma


@dataclass(frozen=True)
class Split:
    """What is interpolated, in which clock, and how it enters x_s.

    x_s = (linear part) + gain(t, s) int_0^1 e^(growth(t, s) (1 - u)) value(u) du,  u linear in the clock from t to s.
    """

    value: Callable[[Node], Tensor]
    clock: Callable[[Level], float]
    gain: Callable[[Level, Level], float]
    growth: Callable[[Level, Level], float]


DATA = Split(  # DPM-Solver++
    lambda node: node.x0, lambda at: at.ell, lambda t, s: s.alpha * (s.ell - t.ell), lambda t, s: t.ell - s.ell
)
NOISE = Split(  # DPM-Solver
    lambda node: node.eps, lambda at: at.ell, lambda t, s: s.sigma * (t.ell - s.ell), lambda t, s: s.ell - t.ell
)
NATURAL = Split(  # PNDM, linear multistep
    lambda node: node.eps, lambda at: at.rho, lambda t, s: s.alpha * (s.rho - t.rho), lambda t, s: 0.0
)


def level(affine: Affine, t: float) -> Level:
    """The level of `affine` at time t."""
    u = torch.tensor(t, dtype=torch.float64)
    log_alpha, log_sigma = float(affine.log_alpha(u)), float(affine.log_sigma(u))
    return Level(math.exp(log_alpha), math.exp(log_sigma), log_alpha - log_sigma)


def spread(moves: Sequence[Memory]) -> list[Any]:
    """State and belief of each move in turn: what `lift` takes apart by field and `nodes_of` puts together."""
    return [y for move in moves for y in (move.x, move.belief)]


def nodes_of(affine: Affine, moves: Sequence[Memory], fields: Sequence[Tensor]) -> list[Node]:
    """The nodes of one field: `fields` are its tensors of `spread(moves)`."""
    return [Node(level(affine, m.t), x, x0) for m, x, x0 in zip(moves, fields[::2], fields[1::2])]


def advance(split: Split, start: Node, end: Level, nodes: Sequence[Node]) -> Tensor:
    """x_s: DDIM's move from `start`, plus what the interpolant through `nodes` adds to a belief that stays as it is.

    x_s = r x_t + (alpha_s - r alpha_t) x0 + `integral`, r = sigma_s / sigma_t; s may lie on either side of t.
    """
    at, h = start.level, end.ell - start.level.ell
    r = end.sigma / at.sigma
    share = -end.alpha * math.expm1(-h) if h > 0 else r * at.alpha * math.expm1(h)  # alpha_s - r alpha_t, not rounded
    ddim = r * start.x + share * start.x0
    extra = integral(split, start, end, nodes)
    return ddim if extra is None else ddim + extra


def integral(split: Split, start: Node, end: Level, nodes: Sequence[Node]) -> Tensor | None:
    """gain int e^(growth (1 - u)) (p(u) - value(start)) du, p the polynomial through `nodes`; None where it is zero.

    Where the clock is infinite there is nothing to interpolate in: such nodes are left out, and a step from or to such
    an end takes the belief constant.
    """
    first, last = split.clock(start.level), split.clock(end)
    nodes = [node for node in nodes if math.isfinite(split.clock(node.level))]
    others = [i for i, node in enumerate(nodes) if node is not start]
    if not others or not math.isfinite(last - first):
        return None
    u = [(split.clock(node.level) - first) / (last - first) for node in nodes]
    # The weights are those that integrate 1, u, u^2 ... exactly.
    rows = np.vander(u, increasing=True).T
    weights = np.linalg.solve(rows, moments(split.growth(start.level, end), len(nodes)))
    gain, base = split.gain(start.level, end), split.value(start)
    terms = [gain * float(weights[i]) * (split.value(nodes[i]) - base) for i in others]
    return sum(terms[1:], terms[0])


def moments(growth: float, count: int) -> list[float]:
    """J_k = int_0^1 e^(growth (1 - u)) u^k du for k < count: k! phi_(k+1)(growth).

    By k J_(k-1) = 1 + growth J_k, upwards where `growth` is large and downwards where it is small, both stable.
    """
    if abs(growth) > count:
        out = [math.expm1(growth) / growth]
        for k in range(1, count):
            out.append((k * out[-1] - 1) / growth)
        return out
    last, out = 0.0, []
    for k in range(60, 0, -1):  # the start is forgotten by a factor |growth| / k a line
        last = (1 + growth * last) / k
        out.append(last)
    return out[::-1][:count]


def time_at(affine: Affine, ell: Tensor, low: float, high: float) -> Tensor:
    """The t in [low, high] at which the half log-SNR is `ell` (float64), by false position with halving (Illinois).

    In arctan(ell), so that infinite ends count as numbers.
    """
    a, b = torch.full_like(ell, low), torch.full_like(ell, high)
    most, least = affine.half_logsnr(a).atan(), affine.half_logsnr(b).atan()
    target = torch.maximum(torch.minimum(ell.atan(), most), least)
    t, side, above, below = a, torch.zeros_like(a), most - target, least - target
    for _ in range(60):
        t = (a * below - b * above) / (below - above)
        gap = affine.half_logsnr(t).atan() - target
        if float(gap.abs().max()) < 2e-15:
            break
        rise, fall = gap > 0, gap < 0  # a row that is exact stays as it is
        above, below = (
            torch.where(fall & (side < 0), above / 2, above),
            torch.where(rise & (side > 0), below / 2, below),
        )
        a, above = torch.where(rise, t, a), torch.where(rise, gap, above)
        b, below = torch.where(fall, t, b), torch.where(fall, gap, below)
        side = gap.sign()
    return t
