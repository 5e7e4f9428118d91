"""gDDIM: DDIM where the process's coefficients are matrices, here diagonal in the modes of a `Blurring`.

Holding the belief over a step, the SDE of noise eta is solved exactly in every mode. Where all modes share one curve
this is DDIM. Zhang, Tao & Chen 2022, arXiv:2206.05564.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.process.blurring import Blurring, column
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.solver.loop import Memory, Solver, declare
from scigen.solver.sde import exponential
from scigen.state import Rng, expand, normal

__all__ = ["gddim"]


def gddim(eta: float = 0.0) -> Solver:
    """Exact in the linear part of each mode, of first order in the belief; deterministic at eta = 0.

    u_s = a u_t + b u0hat + c z mode by mode, `exponential` giving (a, b, c) from the mode's own alpha_k and log-SNR;
    eta = 1 is the posterior draw, and for a scalar process the step is that of DDIM with
    eta_ddim^2 = (1 - e^(-2 eta^2 h)) / (1 - e^(-2 h)), h the step in half log-SNR. On a `Product` other fields take
    their posterior draw. Raises ValueError for a negative eta and for a process with neither modes nor an affine field.
    """
    if not eta >= 0:
        raise ValueError(f"`eta` must be at least 0, got {eta}; 0 draws nothing, 1 is the posterior draw.")

    @declare(order=1)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def one(name: str, part: FieldProcess) -> Tensor:
            if isinstance(part, Affine | Blurring):
                return _move(part, x_t[name], belief[name], t, s, eta, rng)
            return part.step(x_t[name], belief[name], t, s, rng)

        parts = process.parts.values() if isinstance(process, Product) else [process]
        if not any(isinstance(part, Affine | Blurring) for part in parts):
            raise ValueError(
                f"`gddim` needs a blurring or an affine field, {type(process).__name__} has none; use `ancestral`."
            )
        belief = denoise(x_t, t, memory and memory.belief)
        moved = process.each(one, x_t) if isinstance(process, Product) else _move(process, x_t, belief, t, s, eta, rng)
        return moved, Memory(belief, t)

    return step


def _move(part: Affine | Blurring, x_t: Tensor, x0: Tensor, t: float, s: float, eta: float, rng: Rng) -> Tensor:
    gap = part.half_logsnr(t) - part.half_logsnr(s)
    a, b, c = exponential(part.alpha(s), part.sigma(s), part.sigma(s) / part.sigma(t), gap, eta)
    if isinstance(part, Affine):
        x_s = expand(a, x_t) * x_t + expand(b, x_t) * x0
        return x_s if eta == 0 else x_s + expand(c, x_t) * normal(x_t, rng)
    u_s = column(a, x_t) * part.modes(x_t) + column(b, x_t) * part.modes(x0)
    return part.points(u_s if eta == 0 else u_s + column(c, x_t) * part.modes(normal(x_t, rng)))
