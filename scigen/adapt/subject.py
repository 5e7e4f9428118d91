"""Subject tuning: teach a trained model one thing from a few examples, without forgetting what it knew.

A handful of examples pulls every belief towards them. Samples that the model itself drew before tuning hold it in
place: L = E_own[loss] + weight E_prior[loss]. The examples carry a condition of their own (a control, a class, an
embedding), the prior samples the usual one or none. What is tuned is the caller's: all weights, adapters
(`scigen.adapt.lora`) or a control branch. DreamBooth, Ruiz et al. 2022, arXiv:2208.12242.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.categorical import Categorical, draw
from scigen.process.product import Product
from scigen.solver.loop import Solver, ancestral, sample
from scigen.state import Rng

__all__ = ["prior_samples", "subject_loss"]


def prior_samples(
    process: Any, denoise: Denoiser, like: Any, grid: Iterable[float], rng: Rng, solver: Solver = ancestral
) -> Any:
    """Data x0 drawn from the model as it is now, shaped like `like`: call it before the first step of tuning.

    Coordinates are the last belief, which has no noise left, tokens a draw from theirs; constraints are kept.
    """

    def settle(part: Any, belief: Belief) -> Tensor:
        return draw(belief, rng) if isinstance(part, Categorical) else belief

    with torch.no_grad():
        x, belief = sample(process, denoise, process.source(like, rng), grid, rng, solver)
        if isinstance(process, Product):
            return process.each(lambda name, part: settle(part, belief[name]), x)
        return settle(process, belief)


def subject_loss(
    loss: Callable[[Any], Tensor], own: Any, prior: Any, weight: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """loss(own) + weight loss(prior), and the two terms; `loss` is any training loss of one batch of data.

    Raises ValueError for a weight that is not positive: without the prior term this is plain fine-tuning.
    """
    if not weight > 0:
        raise ValueError(f"`weight` must be positive, got {weight}; 1 is usual, and tuning without a prior forgets.")
    terms = {"own": loss(own), "prior": loss(prior)}
    return terms["own"] + weight * terms["prior"], terms
