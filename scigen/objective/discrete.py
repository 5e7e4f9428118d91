"""What each token adds to a bound or a training loss, `[...]` in nats; sum or average over the tokens that count.

With t drawn uniformly and x_t ~ q(x_t | x0), each is an unbiased term of a bound on -log p(x0):
    `step_kl`               D3PM, DiGress: a chain of steps (arXiv:2107.03006, arXiv:2209.14734)
    `jump_kl`               the same in continuous time, from a belief
    `score_entropy`         SEDD: from concrete scores (arXiv:2310.16834)
    `masked_cross_entropy`  MDLM, LLaDA: from logits, absorbing chains (arXiv:2406.07524, arXiv:2502.09992)
`hybrid` adds D3PM's cross-entropy, which is DiGress's whole loss and has the same minimiser: the exact belief.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scigen.process.categorical import Categorical, mask_token
from scigen.process.transition import TokenProcess
from scigen.state import Time, as_time, expand

__all__ = ["cross_entropy", "hybrid", "jump_kl", "masked_cross_entropy", "prior_kl", "score_entropy", "step_kl"]


def cross_entropy(x0: Tensor, belief: Tensor) -> Tensor:
    """-log belief(x0)."""
    return -belief.gather(-1, x0[..., None]).squeeze(-1).log()


def prior_kl(part: TokenProcess, x0: Tensor, t: Time = 1.0) -> Tensor:
    """KL(q(x_t | x0) || m): 0 at keep = 0.

    Infinite for an absorbing chain that keeps anything at t, as it does under VP and VE.
    """
    m = part.m.to(x0.device)
    return _kl(part.law(_one_hot(x0, m), t), m.expand(*x0.shape, -1))


def step_kl(part: TokenProcess, x0: Tensor, x_t: Tensor, belief: Tensor, t: Time, s: Time) -> Tensor:
    """KL(q(x_s | x_t, x0) || p(x_s | x_t)): -log belief(x0) where keep_s = 1. arXiv:2107.03006, equation 1"""
    return _kl(part.posterior(x_t, _one_hot(x0, belief), t, s), part.posterior(x_t, belief, t, s))


def hybrid(
    part: TokenProcess, x0: Tensor, x_t: Tensor, belief: Tensor, t: Time, s: Time, steps: int, weight: float = 0.001
) -> Tensor:
    """steps KL(q(x_s | x_t, x0) || p(x_s | x_t)) - weight log belief(x0), one step of `steps` drawn at random.

    arXiv:2107.03006, equation 5
    """
    return steps * step_kl(part, x0, x_t, belief, t, s) + weight * cross_entropy(x0, belief)


def jump_kl(part: TokenProcess, x0: Tensor, x_t: Tensor, belief: Tensor, t: Time) -> Tensor:
    """`step_kl` per unit of t as the step shrinks: sum over y of R - A + A log(A / R).

    R are the reverse rates under the belief, A under x0 itself. Chains that do not absorb need keep > 0.
    """
    return _rates_kl(part.reverse_rates(x_t, _one_hot(x0, belief), t), part.reverse_rates(x_t, belief, t))


def score_entropy(part: TokenProcess, x0: Tensor, x_t: Tensor, log_ratios: Tensor, t: Time) -> Tensor:
    """sum over y != x_t of Q (r(y) - a(y) log r(y) + a(y) (log a(y) - 1)), Q = `rates_in`.

    r = exp(log_ratios) `[..., K]` is a network's concrete score, a(y) = q(y | x0) / q(x_t | x0); least, over x0 given
    x_t, at the exact ratios, and equal to `jump_kl` for r = ratios(belief). Needs keep > 0. arXiv:2310.16834
    """
    a = part.ratios(x_t, _one_hot(x0, log_ratios), t)
    q = part.rates_in(x_t, t).to(a)
    return _rates_kl(q * a, q * log_ratios.to(a).exp())


def masked_cross_entropy(part: Categorical, x0: Tensor, x_t: Tensor, logits: Tensor, t: Time) -> Tensor:
    """(-keep' / (1 - keep)) times -log softmax(logits)(x0) at masks, 0 elsewhere: 1 / t for keep = 1 - t.

    The mask itself gets no probability, whatever its logit. Raises ValueError for chains that do not absorb.
    arXiv:2406.07524, arXiv:2502.09992
    """
    mask = mask_token(part.m)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    barred = torch.arange(logits.shape[-1], device=logits.device) == mask
    surprise = -logits.masked_fill(barred, -torch.inf).log_softmax(-1).gather(-1, x0[..., None]).squeeze(-1)
    gone = 1 - part.keep(as_time(t))
    weight = torch.where(gone > 0, part.fall(t) / torch.where(gone > 0, gone, 1.0), 0.0)  # no masks at keep = 1
    return torch.where(x_t == mask, expand(weight, surprise) * surprise, 0.0)


def _one_hot(x: Tensor, like: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(x, like.shape[-1]).to(like)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    some = p > 0  # selected before the logarithm, so that gradients are finite too
    return torch.where(some, p * (torch.where(some, p, 1.0).log() - torch.where(some, q, 1.0).log()), 0.0).sum(-1)


def _rates_kl(true: Tensor, ours: Tensor) -> Tensor:
    """ours - true + true log(true / ours), as true (e^d - 1 - d): near keep = 0 both are huge and nearly equal."""
    some = true > 0
    d = torch.where(some, ours, 1.0).log() - torch.where(some, true, 1.0).log()
    return torch.where(some, true * (d.expm1() - d), ours).sum(-1)
