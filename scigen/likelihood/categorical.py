"""Bounds on -log p(x0) of token chains, in nats: a chain of T steps, continuous time, and masked (any order).

A bound is a sum over levels of E_q(x_t | x0) of a divergence per token, which is also what training minimises:
`step_kl` for D3PM (arXiv:2107.03006) and DiGress, `jump_kl` for SEDD (arXiv:2310.16834), MDLM (arXiv:2406.07524) and
LLaDA (arXiv:2502.09992). On a `Product` the categorical fields are summed, each token once (one triangle of symmetric
pairs, no padding); the forward chain factorises over fields, so an affine field adds its own bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.process.categorical import Categorical, mask_token
from scigen.process.free import field_of, free_entries, parts_of
from scigen.process.product import Product
from scigen.state import Rng, Time, as_time, normal, uniform

__all__ = [
    "chain_nelbo",
    "continuous_nelbo",
    "enumerated_chain_nelbo",
    "enumerated_masked_nelbo",
    "jump_kl",
    "prior_kl",
    "step_kl",
]

MOST_STATES = 100_000  # of an enumeration


def step_kl(part: Categorical, x0: Tensor, x_t: Tensor, belief: Tensor, t: Time, s: Time) -> Tensor:
    """KL(q(x_s | x_t, x0) || p(x_s | x_t)) of every token, `[...]`: -log belief(x0) where keep_s = 1.

    arXiv:2107.03006, equation 1
    """
    true = part.posterior(x_t, _one_hot(x0, belief), t, s)
    ours = part.posterior(x_t, belief, t, s)
    return _kl(true, ours)


def jump_kl(part: Categorical, x0: Tensor, x_t: Tensor, belief: Tensor, t: Time) -> Tensor:
    """The same per unit of t, as the step shrinks: sum over y of R - A + A log(A / R), `[...]`.

    R are the reverse rates under the belief, A under x0 itself. This is the weighted score entropy of SEDD, and for an
    absorbing chain -keep' / (1 - keep) times -log belief(x0) at masks, which is LLaDA's 1 / t for keep = 1 - t. Chains
    that do not absorb need keep > 0.
    """
    true = part.reverse_rates(x_t, _one_hot(x0, belief), t)
    ours = part.reverse_rates(x_t, belief, t)
    some = true > 0
    true_or_1, ours_or_1 = torch.where(some, true, 1.0), torch.where(some, ours, 1.0)
    excess = ours_or_1 / true_or_1 - 1
    # Near rates by their difference: both grow without bound as keep -> 0. Far ones by their logarithms.
    near = excess.abs() < 0.5
    log_ratio = torch.where(near, torch.where(near, excess, 0.0).log1p(), ours_or_1.log() - true_or_1.log())
    return torch.where(some, true * (excess - log_ratio), ours).sum(-1)


def prior_kl(part: Categorical, x0: Tensor, t: Time = 1.0) -> Tensor:
    """KL(q(x_t | x0) || m) of every token, `[...]`: 0 at keep = 0.

    Infinite for an absorbing chain that keeps anything at t, as it does under VP and VE.
    """
    return _kl(part.law(_one_hot(x0, part.m), t), part.m.to(x0.device).expand(*x0.shape, -1))


def chain_nelbo(
    process: Categorical | Product, denoise: Denoiser, x0: Any, grid: Sequence[float], rng: Rng, draws: int = 1
) -> Tensor:
    """-log p(x0) is at most this, for the ancestral chain that walks `grid` down from m: an unbiased estimate, `[B]`.

    KL(q(x_T | x0) || m) + sum over steps of E KL(q(x_s | x_t, x0) || p(x_s | x_t)), with `draws` x_t at every level.
    Raises ValueError where the chain does not end at keep = 1. arXiv:2107.03006
    """
    total = _priors(process, x0, grid[0], grid[-1])
    for t, s in pairwise(grid):
        for _ in range(draws):
            x_t = _noised(process, x0, t, rng)
            belief = denoise(x_t, t)
            for name, part in _tokens(process):
                kl = step_kl(part, *(field_of(y, name) for y in (x0, x_t, belief)), t, s)
                total = total + free_entries(process, x0, name).total(kl) / draws
    return total


def continuous_nelbo(process: Categorical | Product, denoise: Denoiser, x0: Any, rng: Rng, draws: int = 1) -> Tensor:
    """-log p(x0) is at most this, in the limit of many steps: an unbiased estimate, `[B]`.

    KL(q(x_1 | x0) || m) + E over t ~ U(0, 1) of `jump_kl`, with one t in each of `draws` equal slices. Tight for exact
    beliefs, dependent tokens or not. Raises ValueError where keep(0) < 1. arXiv:2310.16834, arXiv:2406.07524
    """
    total = _priors(process, x0, 1.0, 0.0)
    for slice_ in range(draws):
        t = (slice_ + uniform(total.shape, total.device, rng).double()) / draws
        x_t = _noised(process, x0, t, rng)
        belief = denoise(x_t, t)
        for name, part in _tokens(process):
            kl = jump_kl(part, *(field_of(y, name) for y in (x0, x_t, belief)), t)
            total = total + free_entries(process, x0, name).total(kl) / draws
    return total


def enumerated_chain_nelbo(process: Categorical, denoise: Denoiser, x0: Tensor, grid: Sequence[float]) -> Tensor:
    """`chain_nelbo` of tokens `[B, n]` with every expectation a sum over all K^n states: exact, `[B]`.

    Raises ValueError above 100 000 states.
    """
    b, n, k = *x0.shape, len(process.m)
    _check_count(k**n)
    x = torch.cartesian_prod(*[torch.arange(k)] * n).reshape(-1, n).to(x0.device)
    every, given = x.expand(b, -1, -1), x0[:, None].expand(-1, len(x), -1)
    total = _priors(process, x0, grid[0], grid[-1])
    for t, s in pairwise(grid):
        weight = process.law(_one_hot(given, process.m), t).gather(-1, every[..., None])[..., 0].prod(-1)
        kl = step_kl(process, given, every, denoise(x, t).expand(b, -1, -1, -1), t, s).sum(-1)
        total = total + torch.where(weight > 0, weight * torch.where(weight > 0, kl, 0.0), 0.0).sum(-1)
    return total


def enumerated_masked_nelbo(process: Categorical, denoise: Denoiser, x0: Tensor, t: float = 0.5) -> Tensor:
    """`continuous_nelbo` of an absorbing chain on tokens `[B, n]`, exact and the same for every `keep`: `[B]`.

    Sum over the 2^n sets of masked tokens, k of them with weight B(k, n - k + 1) = int u^(k - 1) (1 - u)^(n - k) du, of
    -log belief(x0) at the masked ones. Equals -log p(x0) for exact conditionals. `t` is what the denoiser is told; its
    belief must not depend on it. Raises ValueError above 100 000 sets. arXiv:2406.07524, arXiv:2502.09992
    """
    n = x0.shape[1]
    _check_count(2**n)
    hidden = torch.cartesian_prod(*[torch.tensor([True, False])] * n).reshape(-1, n)[:-1].to(x0.device)
    weight = torch.tensor([1 / (k * math.comb(n, k)) for k in hidden.sum(1).tolist()], dtype=torch.float64)
    total = torch.zeros(len(x0), dtype=torch.float64, device=x0.device)
    for row, x in enumerate(x0):
        belief = denoise(torch.where(hidden, mask_token(process), x), t)
        surprise = -belief.gather(-1, x.expand(len(hidden), -1)[..., None])[..., 0].log()
        total[row] = (weight.to(x0.device) * torch.where(hidden, surprise, 0.0).sum(-1)).sum()
    return total


def _noised(process: Any, x0: Any, t: Time, rng: Rng) -> Any:
    """A draw of q(x_t | x0): unit-variance noise for affine fields, source tokens for the others."""

    def one(name: str, part: Any) -> Tensor:
        x = field_of(x0, name)
        return part.noise(x, normal(x, rng) if isinstance(part, Affine) else part.source(x, rng), t, rng)

    return process.each(one, x0) if isinstance(process, Product) else one("", process)


def _priors(process: Any, x0: Any, t: float, end: float) -> Tensor:
    """The first term of a bound, `[B]`."""
    total = 0.0
    for name, part in _tokens(process):
        if (keep := float(part.keep(as_time(end)))) != 1:
            raise ValueError(f"a bound needs a chain that ends on the data, keep = 1, got keep({end}) = {keep:.4g}.")
        total = total + free_entries(process, x0, name).total(prior_kl(part, field_of(x0, name), t))
    if not isinstance(total, Tensor):
        raise ValueError(f"this bound is for tokens and {type(process).__name__} has no categorical field.")
    return total


def _tokens(process: Any) -> Iterator[tuple[str, Categorical]]:
    return ((name, part) for name, part in parts_of(process).items() if isinstance(part, Categorical))


def _one_hot(x: Tensor, like: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(x, like.shape[-1]).to(like)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    some = p > 0  # selected before the logarithm, so that gradients are finite too
    return torch.where(some, p * (torch.where(some, p, 1.0).log() - torch.where(some, q, 1.0).log()), 0.0).sum(-1)


def _check_count(count: int) -> None:
    if count > MOST_STATES:
        raise ValueError(f"{count} states are too many to enumerate; use the estimate by draws.")
