"""Adaptive steps for the reverse SDE: Euler-Maruyama beside a stochastic improved Euler of the same noise.

Their difference measures the error of a step at no extra evaluation, and every sample walks at its own pace.
Jolicoeur-Martineau et al. 2021, "Gotta go fast", arXiv:2105.14080.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.errors import NumericError
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.solver.adaptive import Run
from scigen.solver.lift import adjust, at_data
from scigen.solver.loop import Memory, declare
from scigen.solver.ode import two_stages
from scigen.solver.sde import reverse_drift
from scigen.state import Rng, State, Time, expand, normal

__all__ = ["adaptive_sde", "improved_euler"]

FIRST, SAFETY, EXPONENT = 0.01, 0.9, 0.9  # the paper's
GROWTH = 2.0
SMALLEST = 1e-9  # no step as short as this is ever worth trying


@declare(order=2, evaluations=2)
def improved_euler(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """Heun's method for the reverse SDE: the mean of two Euler-Maruyama steps, by the slopes at both ends, same noise.

    x' = x - h b(x, t) + g_t sqrt(h) z,  x'' = x - h b(x', s) + g_s sqrt(h) z,  x_s = (x' + x'') / 2, with h = t - s and
    b = f x - g^2 score. The noise does not depend on x, so the order in law is 2. Tokens are drawn once; where
    sigma_s = 0 the step ends on the belief. Raises ValueError at alpha_t = 0. arXiv:2105.14080
    """

    def predict(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
        return _predict(affine, x, x0, (t - s) ** 0.5 * normal(x, rng), t, s)

    def correct(affine: Affine, x_s: Tensor, x0_s: Tensor, x: Tensor, x0: Tensor) -> Tensor:
        return _correct(affine, x_s, x0_s, x, x0, t, s)

    return two_stages(process, denoise, x_t, t, s, rng, memory, predict, correct)


def adaptive_sde(
    process: Affine | Product,
    denoise: Denoiser,
    x: Any,
    rng: Rng,
    start: float = 1.0,
    stop: float = 1e-3,
    rtol: float = 0.01,
    atol: float = 0.01,
) -> Run:
    """x at `stop` by `improved_euler` with steps of its own, the belief there, and the calls of the denoiser.

    A step h is kept if E = rms((x' - x_s) / max(atol, rtol max(|x'|, |x'| of the step before))) <= 1, and the next is
    min(rest, 2 h, 0.9 h E^-0.9). Each sample has its own times (`denoise` is given t `[B]` and no previous belief), so
    it does not depend on its batch; every call is of the whole batch. `atol` is in units of x.
    Two departures from the paper, both for samples of few coordinates. A step that fails is halved and its noise split
    by a Brownian bridge: to draw anew favours the draws that pass (the variance of 16 coordinates comes out a tenth too
    wide at any tolerance). And a step at most doubles: an error small by chance must not buy a giant one.
    Raises ValueError for tokens, for a process without noise, and NumericError if no step is small enough.
    """
    _check(process, start, stop, rtol, atol)
    t = torch.full((len(_fields(process, x)[0]),), start, dtype=torch.float64, device=_fields(process, x)[0].device)
    before, evaluations, pending = x, 0, Pending.fresh((t - stop).clamp(max=FIRST), _draw(process, x, rng))
    while bool((t > stop).any()):
        h, noise = pending.top()
        s = torch.where(h < t - stop - SMALLEST, t - h, stop)
        plain, better = _attempt(process, denoise, x, t, s, noise)
        evaluations += 2
        error = _error(process, plain, better, before, rtol, atol)
        kept = (error <= 1) | (t == stop)
        x, before, t = _select(kept, better, x), _select(kept, plain, before), torch.where(kept, s, t)
        growth = (SAFETY * error.clamp(min=1e-9) ** -EXPONENT).clamp(max=GROWTH)
        pending.turn(kept, (h * growth).minimum(t - stop), _draw(process, x, rng))
        if not bool(((h > SMALLEST) | kept).all()):
            raise NumericError(f"no step meets rtol={rtol}, atol={atol} near t={float(t.max()):.3g}; loosen them.")
    return Run(x, denoise(x, stop), evaluations + 1)


@dataclass
class Pending:
    """Per sample, a stack of pieces of a Brownian path yet to be walked, the next on top: lengths and increments."""

    lengths: Tensor  # [K, B]
    increments: Sequence[Tensor]  # a field each, [K, B, ...]
    depth: Tensor  # [B], where the top is

    @staticmethod
    def fresh(h: Tensor, z: Sequence[Tensor]) -> Pending:
        """One piece of length h `[B]` with increment sqrt(h) z."""
        return Pending(h[None], [(expand(h.sqrt(), y) * y)[None] for y in z], torch.zeros_like(h, dtype=torch.long))

    def top(self) -> tuple[Tensor, list[Tensor]]:
        """The length `[B]` and the increments of the next piece."""
        rows = torch.arange(len(self.depth), device=self.depth.device)
        return self.lengths[self.depth, rows], [w[self.depth, rows] for w in self.increments]

    def turn(self, kept: Tensor, h: Tensor, z: Sequence[Tensor]) -> None:
        """Where `kept`, drop the top (a new piece of length h under an empty stack); elsewhere halve it."""
        length, increments = self.top()
        rows = torch.arange(len(kept), device=kept.device)
        if int(self.depth.max()) + 1 == len(self.lengths):
            self.lengths, *self.increments = (torch.cat([w, w[-1:]]) for w in (self.lengths, *self.increments))
        last = kept & (self.depth == 0)
        self.lengths[self.depth, rows] = torch.where(last, h, torch.where(kept, length, length / 2))
        above = self.depth + 1
        self.lengths[above, rows] = torch.where(kept, self.lengths[above, rows], length / 2)
        for w, whole, y in zip(self.increments, increments, z):
            half = whole / 2 + expand(length.sqrt() / 2, y) * y  # the bridge at its middle, given both ends
            w[self.depth, rows] = _rows(last, expand(h.sqrt(), y) * y, _rows(kept, whole, whole - half))
            w[above, rows] = _rows(kept, w[above, rows], half)
        self.depth = torch.where(kept, (self.depth - 1).clamp(min=0), above)


def _attempt(
    process: Affine | Product, denoise: Denoiser, x: Any, t: Tensor, s: Tensor, noise: Sequence[Tensor]
) -> tuple[Any, Any]:
    """Euler-Maruyama's x' and the improved x_s, from t to s, one pair per sample."""

    def predict(affine: Affine, y: Tensor, y0: Tensor, dw: Tensor) -> Tensor:
        return _predict(affine, y, y0, dw, t, s)

    def correct(affine: Affine, y_s: Tensor, y0_s: Tensor, y: Tensor, y0: Tensor) -> Tensor:
        return _correct(affine, y_s, y0_s, y, y0, t, s)

    belief = denoise(x, t)
    increments = dict(zip(process.parts, noise)) if isinstance(process, Product) else noise[0]
    plain = adjust(process, predict, x, belief, increments)
    return plain, adjust(process, correct, plain, denoise(plain, s), x, belief)


def _predict(affine: Affine, x: Tensor, x0: Tensor, dw: Tensor, t: Time, s: Time) -> Tensor:
    noise = expand(affine.diffusion_squared(t).sqrt(), x) * dw
    return x + expand(s - t, x) * reverse_drift(affine, x, x0, t) + noise


def _correct(affine: Affine, x_s: Tensor, x0_s: Tensor, x: Tensor, x0: Tensor, t: Time, s: Time) -> Tensor:
    noise = x_s - x - expand(s - t, x) * reverse_drift(affine, x, x0, t)  # g_t sqrt(h) z, as it was drawn
    ratio = (affine.diffusion_squared(s) / affine.diffusion_squared(t)).sqrt()
    other = x + expand(s - t, x) * reverse_drift(affine, x_s, x0_s, s) + expand(ratio, x) * noise
    return (x_s + other) / 2


def _error(process: Any, plain: Any, better: Any, before: Any, rtol: float, atol: float) -> Tensor:
    """Scaled root mean square per sample `[B]`; entries that a mask holds at zero do not count."""
    squares, counts = [], []
    for p, b, o in zip(*(_fields(process, y) for y in (plain, better, before))):
        room = (rtol * torch.maximum(p.abs(), o.abs())).clamp(min=atol)
        squares.append(((p - b) / room).double().square().flatten(1).sum(1))
        counts.append((p != 0).flatten(1).sum(1))
    return (sum(squares) / sum(counts).clamp(min=1)).sqrt()


def _fields(process: Affine | Product, x: Any) -> list[Tensor]:
    return [x[name] for name in process.parts] if isinstance(process, Product) else [x]


def _draw(process: Affine | Product, x: Any, rng: Rng) -> list[Tensor]:
    return [normal(y, rng) for y in _fields(process, x)]


def _select(kept: Tensor, new: Any, old: Any) -> Any:
    if isinstance(new, State):
        return new.replace(**{name: _rows(kept, new[name], old[name]) for name in new.fields})
    return _rows(kept, new, old)


def _rows(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(which.reshape(-1, *[1] * (yes.dim() - 1)), yes, no)


def _check(process: Any, start: float, stop: float, rtol: float, atol: float) -> None:
    parts = process.parts if isinstance(process, Product) else {"x": process}
    for name, part in parts.items():
        if not isinstance(part, Affine):
            raise ValueError(
                f"`adaptive_sde` moves affine fields alone, and `{name}` follows a {type(part).__name__}; "
                "walk a fixed grid with `sample` instead."
            )
        if not bool((part.diffusion_squared(torch.tensor([start, stop], dtype=torch.float64)) > 0).all()):
            raise ValueError(f"the process of `{name}` has no noise at t={start} or {stop}; use a solver of the ODE.")
    if not (0 <= stop < start <= 1 and rtol > 0 and atol > 0):
        raise ValueError(
            f"`start` must lie in (`stop`, 1] and tolerances be positive, got {start}, {stop}, {rtol}, {atol}; "
            "try 1, 1e-3, 0.01, 0.01."
        )
    if at_data(process, stop):
        raise ValueError(f"no noise is left at `stop`={stop}; stop at 1e-3 and take the belief.")
