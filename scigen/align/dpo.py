"""Direct preference optimisation: a policy fitted to pairs "this rather than that", with no reward model.

Under Bradley-Terry preferences of a reward r the optimum is p_ref exp(r / beta), the same tilted law that a
KL-regularised reward leads to. Rafailov et al. 2023, arXiv:2305.18290; for diffusion, Wallace et al. 2023,
arXiv:2311.12908.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from scigen.denoiser import Denoiser
from scigen.distill.match import certain, mismatch, noised
from scigen.state import Rng

__all__ = ["diffusion_dpo_loss", "dpo_loss", "margin"]


def dpo_loss(winner: Tensor, loser: Tensor, beta: float) -> Tensor:
    """-log sigmoid(beta (winner - loser)) `[...]`; each argument is a log p / p_ref of the policy.

    Raises ValueError unless beta > 0.
    """
    if not beta > 0:
        raise ValueError(f"`beta`, the price of leaving the reference, must be positive, got {beta}.")
    return -logsigmoid(beta * (winner - loser))


def margin(process: Any, denoise: Denoiser, reference: Denoiser, x0: Any, t: Tensor, rng: Rng) -> Tensor:
    """Reference's error less the policy's on the same x_t, `[B]`: the stand-in for log p(x0) / p_ref(x0).

    Both errors are `mismatch`: mean |x0 - belief|^2 of coordinates, -log belief of tokens. The ELBO's factor
    (SNR_s - SNR_t) / 2 is dropped, as in the paper, so `beta` is larger than a reward's temperature.
    """
    x_t, sure = noised(process, x0, t, rng), certain(process, x0)
    with torch.no_grad():
        before = mismatch(process, reference(x_t, t), sure, x_t)
    return before - mismatch(process, denoise(x_t, t), sure, x_t)


def diffusion_dpo_loss(
    process: Any,
    denoise: Denoiser,
    reference: Denoiser,
    winner: Any,
    loser: Any,
    t: Tensor,
    rng: Rng,
    beta: float,
) -> Tensor:
    """Mean `dpo_loss` of the margins of preferred and rejected data, pair by pair at the same times t `[B]`."""
    won, lost = (margin(process, denoise, reference, x0, t, rng) for x0 in (winner, loser))
    return dpo_loss(won, lost, beta).mean()
