"""Learned variances: the chain's own log variance between beta~ and beta, trained by the bound beside L_simple.

log var = v log beta + (1 - v) log beta~,  beta = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2,  beta~ = beta sigma_s^2 /
sigma_t^2: v = 1 and v = 0 are the two ends that DDPM chooses between. Nichol and Dhariwal 2021, arXiv:2102.09672.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.state import Time, expand

__all__ = ["LossHistory", "hybrid_loss", "learned_log_variance", "variational_term"]


def learned_log_variance(affine: Affine, v: Tensor, t: Time, s: Time) -> Tensor:
    """log var of x_s given x_t, shaped like `v [B, ...]` (in [0, 1] between the two ends, free beyond them).

    Raises ValueError where sigma_s = 0: beta~ is 0 there, and the last step is the reconstruction.
    """
    gap = affine.logsnr(t) - affine.logsnr(s)
    if bool((affine.sigma(s) == 0).any()):
        raise ValueError("`s` must leave some noise, the variance of a step to sigma = 0 is 0; end the grid before it.")
    spread = torch.log(-torch.expm1(gap))  # beta = sigma_t^2 (1 - e^gap)
    large, small = (2 * affine.log_sigma(torch.as_tensor(u, dtype=gap.dtype)) + spread for u in (t, s))
    return v * expand(large, v) + (1 - v) * expand(small, v)


def variational_term(
    affine: Affine, x0: Tensor, belief: Tensor, log_var: Tensor, t: Time, s: Time
) -> Tensor:
    """KL(q(x_s | x_t, x0) || N(mean(belief), e^log_var)) summed over coordinates, `[B]` in nats."""
    zero = torch.zeros_like(log_var)
    true = learned_log_variance(affine, zero, t, s)
    gap = affine.logsnr(t) - affine.logsnr(s)
    pull = affine.alpha(s) * -torch.expm1(gap)  # weight of x0 in the posterior's mean
    square = (expand(pull, x0) * (x0 - belief)).square()
    return ((log_var - true + (true - log_var).exp() - 1 + square * (-log_var).exp()) / 2).flatten(1).sum(1)


def hybrid_loss(
    affine: Affine, x0: Tensor, x_t: Tensor, belief: Tensor, v: Tensor, t: Time, s: Time, vlb: float = 1e-3
) -> Tensor:
    """L_simple + vlb L_vlb, per coordinate, `[B]`: the belief learns from the first term alone, v from the second.

    L_vlb here is one step's; over a whole chain of T steps multiply it by T.
    """
    simple = affine.logsnr(t).exp().to(x0) * (x0 - belief).square().flatten(1).mean(1)
    log_var = learned_log_variance(affine, v, t, s)
    bound = variational_term(affine, x0, belief.detach(), log_var, t, s) / x0[0].numel()
    return simple + vlb * bound


@dataclass(frozen=True)
class LossHistory:
    """The last losses of every step, `[T, K]`, from which steps are drawn in proportion to sqrt(E[L^2]).

    That law has the least variance of all for the sum over steps. NaN stands for what has not been seen.
    """

    losses: Tensor

    @classmethod
    def empty(cls, steps: int, memory: int = 10) -> LossHistory:
        """Nothing seen yet."""
        return cls(torch.full((steps, memory), float("nan"), dtype=torch.float64))

    def probabilities(self) -> Tensor:
        """p_t, `[T]`: uniform until every step has a full memory."""
        if bool(self.losses.isnan().any()):
            return torch.full((len(self.losses),), 1 / len(self.losses), dtype=torch.float64)
        size = self.losses.square().mean(1).sqrt()
        return size / size.sum()

    def record(self, step: Tensor, loss: Tensor) -> LossHistory:
        """With the losses `[B]` of the steps `[B]` put in, the oldest leaving."""
        losses = self.losses.clone()
        for k, value in zip(step.tolist(), loss.detach().double().tolist()):
            losses[k] = torch.cat([losses[k, 1:], losses.new_tensor([value])])
        return replace(self, losses=losses)
