"""Churn: before each step fresh noise lifts the state to a higher level, so that a solver forgets its errors.

Karras et al. 2022, arXiv:2206.00364, algorithm 2.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.process.categorical import Categorical
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.solver.integral import Level, level, time_at
from scigen.solver.lift import shared_affine
from scigen.solver.loop import Memory, Solver, declare
from scigen.solver.ode import heun
from scigen.state import Rng, normal

__all__ = ["churn"]


def churn(
    steps: int,
    amount: float = 40.0,
    band: tuple[float, float] = (0.0, math.inf),
    inflate: float = 1.0,
    solver: Solver = heun,
) -> Solver:
    """EDM's stochastic sampler for a grid of `steps`: each move raises rho = sigma / alpha, then takes `solver` down.

    rho' = (1 + gamma) rho, gamma = min(amount / steps, sqrt 2 - 1) where rho lies in `band`, else 0;
    x / alpha gains inflate sqrt(rho'^2 - rho^2) z. `amount`, `band` and `inflate` are the paper's S_churn, (S_tmin,
    S_tmax) and S_noise. A level beyond the process's source stops there. Tokens are renoised to the same time, by
    q(x_t' | x_t). The path is new after a lift, so a multistep solver starts afresh. The order in law is the solver's.
    Raises ValueError for bad settings, fields neither affine nor categorical, and different affine processes.
    """
    if steps < 1 or not amount >= 0 or not 0 <= band[0] < band[1] or not inflate > 0:
        raise ValueError(
            f"`churn` needs steps >= 1, amount >= 0, a rising band and inflate > 0, got {steps}, {amount}, {band}, "
            f"{inflate}; EDM's are 40 over its steps, (0.05, 50) and 1.003."
        )
    gamma = min(amount / steps, math.sqrt(2) - 1)

    @declare(solver.order, solver.evaluations)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        affine = shared_affine(process)
        at = level(affine, t)
        lifts = gamma > 0 and at.alpha > 0 and band[0] <= at.rho <= band[1]
        u = _above(affine, at, t, gamma) if lifts else t
        if u > t:
            x_t = _lift(process, x_t, t, u, inflate, rng)
            memory = replace(memory, t=u) if memory else None  # a belief to condition on, no slope to follow
        return solver(process, denoise, x_t, u, s, rng, memory)

    return step


def _above(affine: Affine, at: Level, t: float, gamma: float) -> float:
    """The time of (1 + gamma) rho, or 1 where the process ends before it."""
    return float(time_at(affine, torch.tensor(at.ell - math.log1p(gamma), dtype=torch.float64), t, 1.0)) if t < 1 else t


def _lift(process: Affine | Product, x: Any, t: float, u: float, inflate: float, rng: Rng) -> Any:
    def one(part: FieldProcess, y: Tensor) -> Tensor:
        if isinstance(part, Affine):
            now, then = level(part, t), level(part, u)
            fresh = math.sqrt(max(then.sigma**2 - (then.alpha / now.alpha * now.sigma) ** 2, 0.0))
            return then.alpha / now.alpha * y + inflate * fresh * normal(y, rng)
        if isinstance(part, Categorical):
            chain = replace(part, keep=lambda v: part.keep(v) / part.keep(torch.tensor(t, dtype=torch.float64)))
            return chain.noise(y, part.source(y, rng), u, rng)
        raise ValueError(f"churn cannot renoise a field under {type(part).__name__}; use `ancestral`.")

    if isinstance(process, Affine):
        return one(process, x)
    return process.each(lambda name, part: one(part, x[name]), x)
