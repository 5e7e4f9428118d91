"""Bounds on -log p(x0) of token chains, in nats: a chain of T steps, continuous time, and masked (any order).

A bound is a sum over levels of E_q(x_t | x0) of a divergence per token (`objective.discrete`). On a `Product` the
categorical fields are summed, each token once (one triangle of symmetric pairs, no padding); the forward chain
factorises over fields, so an affine field adds its own bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.likelihood.elbo import unit_noise
from scigen.objective.discrete import cross_entropy, jump_kl, prior_kl, step_kl
from scigen.process.categorical import Categorical, mask_token
from scigen.process.free import field_of, free_entries, parts_of
from scigen.process.product import Product
from scigen.process.transition import TokenProcess
from scigen.state import Rng, Time, as_time, uniform

__all__ = [
    "chain_nelbo",
    "continuous_nelbo",
    "enumerated_chain_nelbo",
    "enumerated_masked_nelbo",
]

MOST_STATES = 100_000  # of an enumeration


def chain_nelbo(
    process: TokenProcess | Product, denoise: Denoiser, x0: Any, grid: Sequence[float], rng: Rng, draws: int = 1
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
                kl = step_kl(part, field_of(x0, name), field_of(x_t, name), field_of(belief, name), t, s)
                total = total + free_entries(process, x0, name).total(kl) / draws
    return total


def continuous_nelbo(process: TokenProcess | Product, denoise: Denoiser, x0: Any, rng: Rng, draws: int = 1) -> Tensor:
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
            kl = jump_kl(part, field_of(x0, name), field_of(x_t, name), field_of(belief, name), t)
            total = total + free_entries(process, x0, name).total(kl) / draws
    return total


def enumerated_chain_nelbo(process: TokenProcess, denoise: Denoiser, x0: Tensor, grid: Sequence[float]) -> Tensor:
    """`chain_nelbo` of tokens `[B, n]` with every expectation a sum over all K^n states: exact, `[B]`.

    Raises ValueError above 100 000 states.
    """
    b, n, k = *x0.shape, len(process.m)
    _check_count(k**n)
    x = torch.cartesian_prod(*[torch.arange(k)] * n).reshape(-1, n).to(x0.device)
    every, given = x.expand(b, -1, -1), x0[:, None].expand(-1, len(x), -1)
    total = _priors(process, x0, grid[0], grid[-1])
    for t, s in pairwise(grid):
        data = torch.nn.functional.one_hot(given, k).double()
        weight = process.law(data, t).gather(-1, every[..., None])[..., 0].prod(-1)
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
        belief = denoise(torch.where(hidden, mask_token(process.m), x), t)
        surprise = cross_entropy(x.expand(len(hidden), -1), belief)
        total[row] = (weight.to(x0.device) * torch.where(hidden, surprise, 0.0).sum(-1)).sum()
    return total


def _noised(process: Any, x0: Any, t: Time, rng: Rng) -> Any:
    """A draw of q(x_t | x0)."""
    x1 = unit_noise(process, x0, rng) if isinstance(process, Product) else process.source(x0, rng)
    return process.noise(x0, x1, t, rng)


def _priors(process: Any, x0: Any, t: float, end: float) -> Tensor:
    """The first term of a bound, `[B]`."""
    terms = []
    for name, part in _tokens(process):
        if (keep := float(part.keep(as_time(end)))) != 1:
            raise ValueError(f"a bound needs a chain that ends on the data, keep = 1, got keep({end}) = {keep:.4g}.")
        terms.append(free_entries(process, x0, name).total(prior_kl(part, field_of(x0, name), t)))
    if not terms:
        raise ValueError(f"this bound is for tokens and {type(process).__name__} has no categorical field.")
    return torch.stack(terms).sum(0)


def _tokens(process: Any) -> Iterator[tuple[str, TokenProcess]]:
    return ((name, part) for name, part in parts_of(process).items() if isinstance(part, TokenProcess))


def _check_count(count: int) -> None:
    if count > MOST_STATES:
        raise ValueError(f"{count} states are too many to enumerate; use the estimate by draws.")
