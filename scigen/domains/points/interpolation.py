"""Shapes between two shapes: both carried up the sampler's path to their noise, and the arc between walked down again.

The noise of a sample is found by running the probability flow backwards (DDIM inversion, arXiv:2010.02502); Gaussian
noise lies near a sphere, so the way from one to the other is the great circle (arXiv:1609.04468), not the chord.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scigen.domains.points.latents import matched
from scigen.domains.points.process import shape_process
from scigen.domains.points.sampler import Plan, guided
from scigen.domains.points.variations import way_down
from scigen.solver.inversion import invert
from scigen.solver.loop import sample
from scigen.solver.multistep import adams
from scigen.state import State

__all__ = ["Path", "arc", "interpolate"]

_ORDER = 2  # of the multistep rule, up and down
_FIELDS = ("pos", "feat")


@dataclass(frozen=True)
class Path:
    """Shapes at even shares of the way, `[n]` in units of variance one, and how far the ends have come back.

    `returned` is the root mean square of a coordinate of the first and of the last from the shapes they stand for: the
    error of inversion, small beside 1.
    """

    shapes: State
    returned: tuple[float, float]


@torch.inference_mode()
def interpolate(network: Any, plan: Plan, a: State, b: State, n: int) -> Path:
    """`n` shapes from `a` to `b`, batches of one in units of variance one, both ends among them.

    Latent points have no order, so those of `b` are first dealt to the nearest of `a`. Nothing is drawn: the solver is
    `adams(2)` both ways, on the times of `plan`, whose own solver is not asked; more steps bring the ends closer.
    Raises ValueError for fewer than two shapes.
    """
    if n < 2:
        raise ValueError(f"`n` must be at least 2, the two ends, got {n}.")
    process = shape_process(plan.affine)
    denoise = guided(network, process, plan.guidance if "category" in a else 1.0)
    grid, rule = way_down(plan), adams(_ORDER)
    ends = _stacked([a, matched(b, a["pos"])])
    noise = invert(process, denoise, ends, grid[::-1], _ORDER)
    x = arc(noise, torch.linspace(0, 1, n))
    _, belief = sample(process, denoise, x, grid, torch.Generator(), rule)
    shapes = process.project(x.replace(**{name: belief[name] for name in _FIELDS}))
    off = [_apart(shapes, row, ends, end) for row, end in ((0, 0), (n - 1, 1))]
    return Path(shapes, (off[0], off[1]))


def arc(ends: State, share: torch.Tensor) -> State:
    """The points at `share [n]` of the great circle from the first to the second of two states, over all coordinates.

    x(u) = (sin((1 - u) theta) a + sin(u theta) b) / sin(theta), theta the angle between a and b; their chord where they
    are parallel.
    """
    a, b = (torch.cat([ends[name][k].flatten() for name in _FIELDS]).double() for k in (0, 1))
    theta = torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    u = share.to(a)
    if float(theta.sin()) > 1e-6:
        left, right = torch.sin((1 - u) * theta) / theta.sin(), torch.sin(u * theta) / theta.sin()
    else:
        left, right = 1 - u, u
    fields = {name: torch.cat([x[:1]] * len(u)) for name, x in ends.fields.items()}
    for name in _FIELDS:
        one, other = ends[name]
        fields[name] = (left[:, None, None] * one + right[:, None, None] * other).to(one)
    return State(fields, torch.cat([ends.mask[:1]] * len(u)))


def _stacked(states: Sequence[State]) -> State:
    names = states[0].fields
    return State({k: torch.cat([x[k] for x in states]) for k in names}, torch.cat([x.mask for x in states]))


def _apart(shapes: State, row: int, ends: State, end: int) -> float:
    square = [(shapes[name][row] - ends[name][end]).square().flatten() for name in _FIELDS]
    return float(torch.cat(square).mean().sqrt())
