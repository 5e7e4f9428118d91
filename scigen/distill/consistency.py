"""Consistency models: one function that is constant along each path of the probability-flow ODE.

f(x_t, t) answers with the path's point at the smallest time, y = x / alpha there. Song et al. 2023, arXiv:2303.01469;
improved training: Song and Dhariwal 2023, arXiv:2310.14189.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.distill.match import batch_of, certain, intervals, mismatch, noised
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.solver.dpm import ddim
from scigen.solver.loop import Solver
from scigen.state import Time, expand

__all__ = ["boundary", "consistency_loss", "skip_and_out"]


def skip_and_out(affine: Affine, t: Time, t_min: float, std: float = 1.0) -> tuple[Tensor, Tensor]:
    """(c_skip, c_out) of f = c_skip x_t + c_out F, for data of standard deviation `std`: f(x, t_min) = x / alpha.

    c_skip = a std^2 / ((s - e a)^2 + a^2 std^2), c_out = std (s - e a) / sqrt(s^2 + a^2 std^2), e = (s/a)(t_min):
    the paper's curves of sigma at sigma = s / a, multiplied through by a so that a = 0 (flow at t = 1) gives 0 and
    std. Raises ValueError for `t_min` outside [0, 1) or a `std` that is not positive.
    """
    if not 0 <= t_min < 1 or not std > 0:
        raise ValueError(f"`t_min` must lie in [0, 1) and `std` be positive, got {t_min}, {std}; try 0.002 and 1.")
    a, s = affine.alpha(t), affine.sigma(t)
    rise = s - a * (-affine.half_logsnr(t_min)).exp()
    return a * std**2 / (rise**2 + (a * std) ** 2), std * rise / torch.hypot(s, a * std)


def boundary(network: Denoiser, process: Any, t_min: float, std: float = 1.0) -> Denoiser:
    """A consistency function around a free network F(x_t, t), exact at t_min by construction; tokens are left to F.

    It is a `Denoiser`: its belief is the path's end, where an ordinary one's is the mean over ends. A network that
    ends on x0 = x_t at sigma = 0 by its own parametrization (arXiv:2206.00364) is one already, with t_min = 0.
    """

    def one(part: Any, x_t: Tensor, f: Tensor, t: Time) -> Tensor:
        if not isinstance(part, Affine):
            return f
        skip, out = skip_and_out(part, t, t_min, std)
        return expand(skip, x_t) * x_t + expand(out, x_t) * f

    def denoise(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        f = network(x_t, t, previous)
        if not isinstance(process, Product):
            return one(process, x_t, f, t)
        return {**f, **{name: one(part, x_t[name], f[name], t) for name, part in process.parts.items()}}

    return denoise


def consistency_loss(
    process: Any,
    student: Denoiser,
    target: Denoiser,
    x0: Any,
    grid: Sequence[float],
    rng: torch.Generator,
    teacher: Denoiser | None = None,
    solver: Solver | None = None,
    huber: float = 0.0,
) -> Tensor:
    """Mean distance of student(x_t, t) and target(x_s, s) over random neighbours t > s of `grid`, which ends at t_min.

    x_s is one step of `solver` (DDIM unless given; it must take one time per sample) with the teacher's belief:
    consistency distillation. Without a teacher the data point itself is the belief, an unbiased one-sample estimate of
    it: consistency training. `target` is the student or its moving average; no gradient flows through it. `huber` as
    in `mismatch`. Tokens take their posterior draw and are matched by KL, to the student's own later belief.
    """
    t, s = intervals(grid, 1, batch_of(x0), rng)
    x_t = noised(process, x0, t, rng)
    guess = teacher or (lambda x, t, previous=None: certain(process, x0))
    with torch.no_grad():
        x_s, _ = (solver or ddim())(process, guess, x_t, t, s, rng, None)
        wanted = target(x_s, s)
    return mismatch(process, student(x_t, t), wanted, x_t, huber).mean()
