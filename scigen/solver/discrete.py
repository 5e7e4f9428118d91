"""Moves of tokens: jumps at frozen reverse rates, and a corrector.

Every solver moves tokens by their exact posterior draw (`Categorical.posterior`). `with_tokens` gives them another
rule while the affine fields keep the solver's:

    with_tokens(ancestral, tau_leap)                                     a bare categorical chain
    with_tokens(dpmpp_2m, {"atom": by_confidence(), "bond": tau_leap})   molecules, field by field (`unmasking`)

Tokens of one step are drawn independently whatever the rule, so all rules are of first order on dependent tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.categorical import draw
from scigen.process.free import Free, field_of, free_entries, parts_of
from scigen.process.product import Product
from scigen.process.transition import TokenProcess
from scigen.solver.loop import Memory, Solver, ancestral, declare
from scigen.state import Rng, as_time

__all__ = [
    "TokenRule",
    "euler_law",
    "euler_tokens",
    "renoise_law",
    "tau_leap",
    "tau_leap_law",
    "token_corrector",
    "with_tokens",
]

# rule(part, x_t, belief, t, s, rng, free) -> x_s; `free` marks the tokens that are drawn by themselves.
TokenRule: TypeAlias = Callable[[TokenProcess, Tensor, Tensor, float, float, Rng, Free], Tensor]


def with_tokens(solver: Solver, rule: TokenRule | Mapping[str, TokenRule]) -> Solver:
    """`solver`, with the categorical fields (all, or those named) moved by `rule` instead of their posterior draw.

    Works on a bare `Categorical` and on a `Product`, whose constraints are kept by its projection. Raises ValueError
    for a process or a name without tokens.
    """

    @declare(order=1, evaluations=solver.evaluations)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        tokens = _token_parts(process)
        rules = rule if isinstance(rule, Mapping) else dict.fromkeys(tokens, rule)
        if not rules or not rules.keys() <= tokens.keys():
            raise ValueError(f"rules for {sorted(rules)} need categorical fields of those names, got {sorted(tokens)}.")
        ruled = {name: _Ruled(tokens[name], r, free_entries(process, x_t, name)) for name, r in rules.items()}
        moved = replace(process, parts={**process.parts, **ruled}) if isinstance(process, Product) else ruled[""]
        return solver(moved, denoise, x_t, t, s, rng, memory)

    return step


def euler_tokens(part: TokenProcess, x_t: Tensor, belief: Tensor, t: float, s: float, rng: Rng, free: Free) -> Tensor:
    """A draw from `euler_law`; from the posterior in the step to keep_s = 1, as in the paper."""
    return _drawn(euler_law, part, x_t, belief, t, s, rng)


def tau_leap(part: TokenProcess, x_t: Tensor, belief: Tensor, t: float, s: float, rng: Rng, free: Free) -> Tensor:
    """A draw from `tau_leap_law`; from the posterior in the step to keep_s = 1, where no clock may stay silent."""
    return _drawn(tau_leap_law, part, x_t, belief, t, s, rng)


def euler_law(part: TokenProcess, x_t: Tensor, belief: Tensor, t: float, s: float) -> Tensor:
    """p(x_s | x_t) `[..., K]` of Euler on the reverse rates R: y != x_t with probability (t - s) R(y).

    Where (t - s) sum R > 1 the token surely jumps, y ∝ R. Raises ValueError at keep = 0 for chains that do not absorb.
    arXiv:2310.16834
    """
    return _jump(part, x_t, belief, t, s, lambda jumps: jumps.clamp(max=1))


def tau_leap_law(part: TokenProcess, x_t: Tensor, belief: Tensor, t: float, s: float) -> Tensor:
    """p(x_s | x_t) `[..., K]` of tau-leaping: Poisson clocks at rates R(y) frozen over the step, the first one wins.

    A jump with probability 1 - exp(-(t - s) sum R), y ∝ R. (Sums of several jumps, the paper's choice for ordinal data,
    have no meaning for classes.) Raises ValueError at keep = 0 for chains that do not absorb. arXiv:2205.14987
    """
    return _jump(part, x_t, belief, t, s, lambda jumps: -torch.expm1(-jumps))


def token_corrector(predictor: Solver = ancestral, corrections: int = 1, share: float = 0.1) -> Solver:
    """Any solver, then `corrections` sweeps at the level reached: each token goes, with probability `share`, back to
    x0 ~ belief and forward to s.

    Leaves p_s invariant: exactly for one token, up to the parallel draws for several; lets masks come back, which mends
    early mistakes. A Gibbs form of the correctors of arXiv:2205.14987. Affine fields stay. Raises ValueError for a
    negative count, a share outside (0, 1], or a process without tokens.
    """
    if corrections < 0 or not 0 < share <= 1:
        raise ValueError(f"`corrections` must be >= 0 and `share` in (0, 1], got {corrections}, {share}; try 1, 0.1.")

    @declare(order=1, evaluations=predictor.evaluations + corrections)
    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        tokens = _token_parts(process)
        x_s, left = predictor(process, denoise, x_t, t, s, rng, memory)
        belief = left.belief
        done = all(float(part.keep(as_time(s))) == 1 for part in tokens.values())
        for _ in range(0 if done else corrections):
            belief = denoise(x_s, s, belief)
            fresh = {
                name: draw(renoise_law(part, field_of(x_s, name), field_of(belief, name), s, share), rng)
                for name, part in tokens.items()
            }
            x_s = process.project(x_s.replace(**fresh)) if isinstance(process, Product) else fresh[""]
        return x_s, left

    return step


def renoise_law(part: TokenProcess, x: Tensor, belief: Tensor, t: float, share: float) -> Tensor:
    """(1 - share) at x, share on x0 ~ belief noised to t again, keep belief + (1 - keep) m: `[..., K]`.

    A Gibbs step on (x0, x_t), so p_t is invariant.
    """
    fresh = part.law(belief.to(torch.promote_types(belief.dtype, torch.float32)), t)
    return (1 - share) * torch.nn.functional.one_hot(x, fresh.shape[-1]).to(fresh) + share * fresh


@dataclass(frozen=True)
class _Ruled:
    """A categorical part whose `step` is another rule, on one batch."""

    part: TokenProcess
    rule: TokenRule
    free: Free

    def source(self, like: Tensor, rng: Rng) -> Tensor:
        return self.part.source(like, rng)

    def noise(self, x0: Tensor, x1: Tensor, t: Any, rng: Rng) -> Tensor:
        return self.part.noise(x0, x1, t, rng)

    def step(self, x_t: Tensor, belief: Tensor, t: Any, s: Any, rng: Rng) -> Tensor:
        return self.rule(self.part, x_t, belief, t, s, rng, self.free)


def _token_parts(process: Any) -> dict[str, TokenProcess]:
    tokens = {name: part for name, part in parts_of(process).items() if isinstance(part, TokenProcess)}
    if not tokens:
        raise ValueError(f"this move is for tokens and {type(process).__name__} has no categorical field.")
    return tokens


def _drawn(
    law: Callable[..., Tensor], part: TokenProcess, x_t: Tensor, belief: Tensor, t: float, s: float, rng: Rng
) -> Tensor:
    """A draw from `law`, at keep_s = 1 from the posterior: no mask and no noise is left in the data."""
    at_data = float(part.keep(as_time(s))) == 1
    return draw(part.posterior(x_t, belief, t, s) if at_data else law(part, x_t, belief, t, s), rng)


def _jump(
    part: TokenProcess, x_t: Tensor, belief: Tensor, t: float, s: float, chance: Callable[[Tensor], Tensor]
) -> Tensor:
    """Stay, or with probability chance(expected jumps) go to y ∝ the reverse rates."""
    if float(part.keep(as_time(t))) == 0 and float(part.m.max()) < 1:
        raise ValueError(f"reverse rates are infinite at t={t}, where keep is 0; start at 1 - 1e-3 or use `ancestral`.")
    jumps = (t - s) * part.reverse_rates(x_t, belief, t)
    total = jumps.sum(-1, keepdim=True)
    leave = chance(total)
    here = torch.nn.functional.one_hot(x_t, jumps.shape[-1]).to(jumps)
    return (1 - leave) * here + leave * jumps / torch.where(total > 0, total, 1.0)
