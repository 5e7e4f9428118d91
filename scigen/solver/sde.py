"""The reverse SDE dx = (f x - g^2 score) dt + g dW, and Langevin correctors that hold the marginal at one time.

Song et al. 2021, arXiv:2011.13456.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser, epsilon, velocity
from scigen.process.affine import Affine
from scigen.solver.lift import adjust, at_data, move
from scigen.solver.loop import Memory, Solver, ancestral, declare
from scigen.state import Rng, expand, normal

__all__ = ["euler_maruyama", "langevin", "predictor_corrector"]


@declare(order=1)
def euler_maruyama(
    process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
) -> tuple[Any, Memory]:
    """x_s = x_t + (s - t)(f x - g^2 score) + g sqrt(t - s) z, with f x - g^2 score = velocity + g^2 eps / (2 sigma).

    g^2 is infinite where alpha = 0 (t = 1 of flow and cosine): raises ValueError there. Use steps of log-SNR below 1.
    """

    def rule(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
        if float(affine.alpha(t)) == 0:
            raise ValueError(
                f"Euler-Maruyama cannot start at t={t}, where alpha is 0; start at 1 - 1e-3 or use `ddim(1)`."
            )
        g2 = affine.diffusion_squared(t)
        drift = velocity(affine, x, x0, t) + expand(g2 / (2 * affine.sigma(t)), x) * epsilon(affine, x, x0, t)
        return x + (s - t) * drift + expand((g2 * (t - s)).sqrt(), x) * normal(x, rng)

    belief = denoise(x_t, t, memory and memory.belief)
    return move(process, rule, t, s, rng, x_t, belief), Memory(belief, t)


def predictor_corrector(predictor: Solver = ancestral, corrections: int = 1, snr: float = 0.16) -> Solver:
    """Any solver, then Langevin steps at the level it reached; none where no noise is left.

    Tokens keep what the predictor drew: Langevin on coordinates holds p_s(coordinates | tokens), hence the joint law.
    At a fixed snr the corrector's bias falls like one power of the step, so the order is 1 whatever the predictor's.
    Raises ValueError for a negative count or an snr outside (0, 1).
    """
    if corrections < 0 or not 0 < snr < 1:
        raise ValueError(f"`corrections` must be >= 0 and `snr` in (0, 1), got {corrections}, {snr}; try 1 and 0.16.")

    @declare(order=1 if corrections else predictor.order, evaluations=predictor.evaluations + corrections)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        def rule(affine: Affine, x: Tensor, x0: Tensor) -> Tensor:
            return langevin(affine, x, x0, s, snr, rng)

        x_s, left = predictor(process, denoise, x_t, t, s, rng, memory)
        belief = left.belief
        for _ in range(0 if at_data(process, s) else corrections):
            belief = denoise(x_s, s, belief)
            x_s = adjust(process, rule, x_s, belief)
        return x_s, left  # the predictor's own memory: a multistep one needs beliefs from its own times

    return step


def langevin(affine: Affine, x: Tensor, x0: Tensor, t: float, snr: float, rng: Rng) -> Tensor:
    """x + h score + sqrt(2 h) z with h = 2 (snr sigma)^2.

    The paper takes |z| / |score| over the batch where we take its expectation sigma: a sample then never depends on its
    batch, and all affine processes stay one process up to scale. On a marginal of variance v the chain settles at
    v / (1 - h / (2 v)), not v: the bias vanishes with sigma.
    """
    sigma = affine.sigma(t)
    drift = -expand(2 * snr**2 * sigma, x) * epsilon(affine, x, x0, t)
    return x + drift + expand(2 * snr * sigma, x) * normal(x, rng)
