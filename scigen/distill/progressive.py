"""Progressive distillation: a student whose one DDIM step is two of its teacher's, halved again and again.

Salimans and Ho 2022, arXiv:2202.00512.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.distill.match import batch_of, intervals, mismatch, noised
from scigen.process.affine import Affine
from scigen.solver.dpm import ddim
from scigen.solver.lift import adjust
from scigen.solver.loop import Memory
from scigen.state import Rng, Time, expand

__all__ = ["Fit", "progressive", "progressive_loss", "student_target", "two_step_target"]

Fit: TypeAlias = Callable[[Denoiser, Sequence[float]], Denoiser]  # (teacher, its grid) -> student of half the steps


def student_target(affine: Affine, x_t: Tensor, x_s: Tensor, t: Time, s: Time) -> Tensor:
    """The belief whose one DDIM step goes from x_t to x_s: x0 = (x_s - (s_s/s_t) x_t) / (a_s - (s_s/s_t) a_t).

    The denominator is -a_s expm1(ell_t - ell_s) with ell the half log-SNR, exact for close times and finite at both
    ends: at s = 0 the target is x_s itself.
    """
    gain = -torch.expm1(affine.half_logsnr(t) - affine.half_logsnr(s))
    ratio = affine.sigma(s) / affine.sigma(t)
    return (x_s - expand(ratio, x_t) * x_t) / expand(affine.alpha(s) * gain, x_t)


@torch.no_grad()
def two_step_target(process: Any, teacher: Denoiser, x_t: Any, t: Time, m: Time, s: Time, rng: Rng) -> Belief:
    """What a student must believe at (x_t, t) to reach in one step what the teacher reaches over m in two.

    Affine fields: `student_target` of two DDIM steps. Tokens: the teacher draws x_m and tells its belief there; over
    those draws it averages to p(x0 | x_t), the tower property, so a student fitted to it keeps the tokens' law.
    """
    memory: Memory | None = None
    x = x_t
    for a, b in ((t, m), (m, s)):
        x, memory = ddim()(process, teacher, x, a, b, rng, memory)  # type: ignore[arg-type]
    assert memory is not None
    if isinstance(process, Affine):
        return student_target(process, x_t, x, t, s)
    targets = adjust(process, lambda part, x_s, start: student_target(part, start, x_s, t, s), x, x_t)
    affine = {name: targets[name] for name, part in process.parts.items() if isinstance(part, Affine)}
    return {**memory.belief, **affine}


def progressive_loss(
    process: Any,
    student: Denoiser,
    teacher: Denoiser,
    x0: Any,
    grid: Sequence[float],
    rng: torch.Generator,
    weight: Callable[[Tensor], Tensor] = torch.ones_like,
) -> Tensor:
    """Mean of weight(t) |two_step_target - student|^2 over random pairs of intervals of the teacher's `grid`.

    Tokens count by KL. `weight` takes times `[B]`; the paper's is max(SNR, 1) or 1 + SNR. Raises ValueError for a grid
    with an odd number of intervals.
    """
    t, m, s = intervals(grid, 2, batch_of(x0), rng)
    x_t = noised(process, x0, t, rng)
    target = two_step_target(process, teacher, x_t, t, m, s, rng)
    off = mismatch(process, student(x_t, t), target, x_t)
    return (weight(t).to(off) * off).mean()


def progressive(teacher: Denoiser, grid: Sequence[float], fit: Fit) -> Iterator[tuple[Denoiser, list[float]]]:
    """Halve until one step is left, yielding each student with its grid; `fit(teacher, grid)` trains the next one.

    Raises ValueError unless the number of intervals is a power of two.
    """
    steps, times = len(grid) - 1, list(grid)
    if steps < 2 or steps & (steps - 1):
        raise ValueError(f"`grid` must hold a power of two of intervals to be halved to one, got {steps}; try 16.")
    while len(times) > 2:
        teacher = fit(teacher, times)
        times = times[::2]
        yield teacher, times
