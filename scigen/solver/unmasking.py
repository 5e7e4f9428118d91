"""Unmasking: tokens of an absorbing chain revealed in order of confidence, as MaskGIT and LLaDA sample.

`by_confidence` is a rule for `with_tokens`. The count revealed follows the schedule; which tokens go first follows the
belief, where the posterior draw (`ancestral`) picks them blindly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.categorical import Categorical, draw, mask_token
from scigen.process.free import Free, field_of, parts_of
from scigen.process.product import Product
from scigen.process.transition import TokenProcess
from scigen.solver.discrete import TokenRule
from scigen.state import Rng, Time, as_time, uniform

__all__ = ["Confidence", "by_confidence", "of_best", "of_draw", "substituted"]

Confidence: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (belief [..., K], guess [...]) -> [...]


def of_draw(belief: Tensor, guess: Tensor) -> Tensor:
    """The probability of the drawn token, as in MaskGIT and LLaDA: favours likely values, so the law is sharpened."""
    return belief.gather(-1, guess[..., None]).squeeze(-1)


def of_best(belief: Tensor, guess: Tensor) -> Tensor:
    """The largest probability: an order that looks at x_t alone, so one token a step from exact beliefs is exact."""
    return belief.amax(-1)


def by_confidence(confidence: Confidence = of_draw, temperature: float = 0.0) -> TokenRule:
    """Unmask the surest tokens first: at s the round((1 - keep_s) n) least confident of the n tokens stay masked.

    Each masked token draws a guess from its belief; `confidence` ranks them, with
    temperature (1 - keep_s) times Gumbel noise on the logarithm: 0 is LLaDA's low-confidence remasking
    (arXiv:2502.09992), about 4.5 MaskGIT's (arXiv:2202.04200). Tokens once unmasked stay. For absorbing chains only:
    raises ValueError otherwise, and for a negative temperature.
    """
    if temperature < 0:
        raise ValueError(f"`temperature` must not be negative, got {temperature}; 0 follows the confidence alone.")

    def rule(part: TokenProcess, x_t: Tensor, belief: Tensor, t: float, s: float, rng: Rng, free: Free) -> Tensor:
        mask, masked_share = mask_token(part.m), 1 - part.keep(as_time(s)).to(x_t.device)
        p = belief.to(torch.promote_types(belief.dtype, torch.float32)).clone()
        p[..., mask] = 0.0
        guess = draw(p, rng)
        sure = confidence(p, guess).log()
        if temperature > 0:
            u = uniform(x_t.shape, x_t.device, rng).clamp(min=torch.finfo(torch.float32).tiny)
            sure = sure - temperature * masked_share.to(sure) * (-u.log()).log()
        masked = x_t == mask
        waiting = (masked & free.entries).flatten(1)
        sure = sure.flatten(1).masked_fill(~waiting, -torch.inf)
        place = sure.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        reveal = waiting.sum(1) - (masked_share * free.count).round()
        # Entries that copy another or pad are nobody's choice: let them go.
        chosen = (place < reveal[:, None]).reshape(x_t.shape) | ~free.entries
        return torch.where(masked & chosen, guess, x_t)

    return rule


def substituted(denoise: Denoiser, process: Categorical | Product) -> Denoiser:
    """MDLM's parameterisation of absorbing fields: the mask gets no probability and an unmasked token all of its own.

    For networks whose softmax knows neither; without it a mask may be left in the data. Other fields pass unchanged.
    Raises ValueError for a process that absorbs nothing. arXiv:2406.07524, section 3.2
    """
    tokens = {name: part for name, part in parts_of(process).items() if isinstance(part, Categorical)}
    masks = {name: mask_token(part.m) for name, part in tokens.items() if float(part.m.max()) == 1}
    if not masks:
        raise ValueError(f"no field of this {type(process).__name__} absorbs; give its denoiser as it is.")

    def one(belief: Tensor, x: Tensor, mask: int) -> Tensor:
        p = belief.clone()
        p[..., mask] = 0
        here = torch.nn.functional.one_hot(x, p.shape[-1]).to(p)
        return torch.where((x == mask)[..., None], p / p.sum(-1, keepdim=True), here)

    def substitute(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        belief = denoise(x_t, t, previous)
        fields = {name: one(field_of(belief, name), field_of(x_t, name), mask) for name, mask in masks.items()}
        return {**belief, **fields} if isinstance(process, Product) else fields[""]

    return substitute
