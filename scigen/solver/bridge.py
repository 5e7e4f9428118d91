"""Solvers of bridges, from given points x1 at t = 1 to data. `ancestral` is the first of them: exact posterior draws.

The Markov process with a bridge's marginals runs dx = (x - E[x0 | x_t]) / w dw + scale dW backwards in w = clock(t).
Liu et al. 2023 (I2SB), arXiv:2302.05872; Peluchetti 2023, arXiv:2304.00917; Zhou et al. 2023 (DDBM), arXiv:2309.16948.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.affine import Affine
from scigen.process.brownian import Brownian
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.solver.loop import Memory, declare
from scigen.state import Rng, State, Time, expand, normal

__all__ = ["bridge_ode", "bridge_sde", "given_start", "move_between"]


@declare(order=1)
def bridge_ode(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """I2SB's OT-ODE, the posterior mean alone: x_s = x0 + (w_s / w_t)(x_t - x0).

    The flow of a bridge of scale 0, and Euler's step on rectified flow (whose other solvers take any coupling too). The
    mean alone would narrow a bridge that has noise: raises ValueError there.
    """

    def rule(bridge: Brownian, x: Tensor, x0: Tensor) -> Tensor:
        if bridge.scale > 0:
            raise ValueError(
                f"`bridge_ode` needs a bridge without noise, got scale={bridge.scale}; use `ancestral`,"
                " or `interpolate()` with a belief about both ends."
            )
        return bridge.step(x, x0, t, s, rng)

    belief = denoise(x_t, t, memory and memory.belief)
    return move_between(Brownian, process, rule, t, s, rng, x_t, belief), Memory(belief, t)


@declare(order=1)
def bridge_sde(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """Euler-Maruyama on the reverse SDE: x_s = x0 + (w_s / w_t)(x_t - x0) + scale sqrt(w_t - w_s) z.

    `ancestral` has the same mean and w_s / w_t of this variance: it forgets Var[x0 | x_t], and its error carries a
    logarithm of the steps. This one takes scale^2 w for it, which is right where the data are smooth; where they lie on
    a thin set decode the belief, not x. Raises ValueError on a bridge without noise.
    """

    def rule(bridge: Brownian, x: Tensor, x0: Tensor) -> Tensor:
        if bridge.scale == 0:
            raise ValueError("a bridge of scale 0 has no noise and no SDE; use `bridge_ode`.")
        w_t, w_s = bridge.beta(t), bridge.beta(s)
        mean = x0 + expand(w_s / w_t, x) * (x - x0)
        return mean + expand(bridge.scale * (w_t - w_s).sqrt(), x) * normal(x, rng)

    belief = denoise(x_t, t, memory and memory.belief)
    return move_between(Brownian, process, rule, t, s, rng, x_t, belief), Memory(belief, t)


def given_start(bridge: Brownian, denoise: Denoiser, x1: Any, field: str = "pos") -> tuple[Affine, Denoiser]:
    """The affine process that a bridge is, seen from its own start x1, and the denoiser of it.

    x_t = w x1 + sqrt(1 - w) y_t with y_t = sqrt(1 - w) x0 + scale sqrt(w) z, variance preserving at scale 1. So affine
    solvers sample the bridge from `x1`: y starts from the process's source, and at t = 0 it is x. Those that step in t
    (Euler, Heun) start below t = 1, where the slope of sqrt(1 - w) is infinite; DDIM and DPM-Solver++ start at it.
    `denoise` must know x1, by closing over it or as a carried field. On a `State` only `field` is moved.
    Raises ValueError on a bridge without noise.
    """
    if bridge.scale == 0:
        raise ValueError("a bridge of scale 0 runs straight from its start; use `bridge_ode`.")
    process = Affine(
        lambda t: torch.log1p(-bridge.clock(t)) / 2,
        lambda t: (bridge.scale**2 * bridge.clock(t)).log() / 2,
    )

    def back(y: Tensor, start: Tensor, t: Time) -> Tensor:
        return expand(bridge.beta(t), y) * start + expand(bridge.alpha(t).sqrt(), y) * y

    def seen(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        if isinstance(x_t, State):
            return denoise(x_t.replace(**{field: back(x_t[field], x1[field], t)}), t, previous)
        return denoise(back(x_t, x1, t), t, previous)

    return process, seen


def move_between(
    kinds: type | tuple[type, ...],
    process: Any,
    rule: Callable[[Any, Tensor, Any], Tensor],
    t: float,
    s: float,
    rng: Rng,
    x_t: Any,
    belief: Belief,
) -> Any:
    """x_s: `rule` on a process of one of the `kinds` or on such fields of a `Product`, posterior draws on its others.

    Raises ValueError when there is none: those are the affine solvers' or `ancestral`'s.
    """
    if isinstance(process, kinds):
        return rule(process, x_t, belief)
    if not isinstance(process, Product) or not any(isinstance(part, kinds) for part in process.parts.values()):
        name = type(process).__name__
        raise ValueError(f"this solver needs a bridge and {name} has none; use `ddim` or `ancestral`.")

    def one(name: str, part: FieldProcess) -> Tensor:
        moved = isinstance(part, kinds)
        return rule(part, x_t[name], belief[name]) if moved else part.step(x_t[name], belief[name], t, s, rng)

    return process.each(one, x_t)
