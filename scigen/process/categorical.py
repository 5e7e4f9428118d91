"""Categorical processes: a token keeps its value with probability keep(t), else is redrawn from `m`.

Qbar_t = keep(t) I + (1 - keep(t)) 1 m'. Uniform m is D3PM's (arXiv:2107.03006), the data marginal DiGress's
(arXiv:2209.14734), a one-hot mask the absorbing chain of MDLM (arXiv:2406.07524). Tokens are integer class indices
`[...]`, a belief is probabilities over x0, `[..., K]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.process.affine import Affine, Curve
from scigen.state import Rng, Time, as_time, expand, uniform

__all__ = ["Categorical", "absorbing", "draw", "keep_of", "marginal", "uniform_tokens"]


@dataclass(frozen=True)
class Categorical:
    """Redraw law `m [K]` (sums to one) and the curve `keep`, 1 at t = 0 and falling."""

    m: Tensor
    keep: Curve

    def source(self, like: Tensor, rng: Rng) -> Tensor:
        """Independent tokens from m; `like` gives the shape."""
        return draw(self.m.to(like.device).expand(*like.shape, -1), rng)

    def noise(self, x0: Tensor, x1: Tensor, t: Time, rng: Rng) -> Tensor:
        """x0 with probability keep(t), the source token x1 ~ m otherwise."""
        keep = expand(self.keep(as_time(t)), x0)
        return torch.where(uniform(x0.shape, x0.device, rng) < keep, x0, x1)

    def posterior(self, x_t: Tensor, belief: Tensor, t: Time, s: Time) -> Tensor:
        """p(x_s | x_t) = sum_x0 belief(x0) q(x_s | x_t, x0), `[..., K]`.

        With w(x0) = belief(x0) / Qbar_t(x0, x_t): p(x_s) ∝ Q_ts(x_s, x_t) (keep_s w(x_s) + (1 - keep_s) m(x_s) sum w),
        linear in K because every matrix is a multiple of the identity plus rank one.
        """
        m = self.m.to(belief)
        keep_t, keep_s = self.keep(as_time(t)), self.keep(as_time(s))
        # Differences from 1 are taken before the numbers are cut to the belief's precision.
        (stay_t, go_t), (stay_s, go_s), (stay_ts, go_ts) = (
            (expand(keep, belief), expand(1 - keep, belief)) for keep in (keep_t, keep_s, keep_t / keep_s)
        )
        here = torch.nn.functional.one_hot(x_t, len(m)).to(belief)
        m_here = m[x_t].unsqueeze(-1)
        to_here = stay_t * here + go_t * m_here  # Qbar_t(x0, x_t) over x0
        possible = to_here > 0  # an unmasked token rules the other x0 out: select before dividing
        w = torch.where(possible, belief / torch.where(possible, to_here, 1.0), 0.0)
        jump = stay_ts * here + go_ts * m_here  # Q_ts(x_s, x_t) over x_s
        p = jump * (stay_s * w + go_s * m * w.sum(-1, keepdim=True))
        # A belief that gives x_t's only possible origins no weight says nothing: stay.
        total = p.sum(-1, keepdim=True)
        return torch.where(total > 0, p / torch.where(total > 0, total, 1.0), here)

    def step(self, x_t: Tensor, belief: Tensor, t: Time, s: Time, rng: Rng) -> Tensor:
        """Exact draw of x_s given x_t and the belief about x0."""
        return draw(self.posterior(x_t, belief, t, s), rng)


def keep_of(affine: Affine) -> Curve:
    """keep = alpha / (alpha + sigma) = sigmoid(logsnr / 2): tokens follow the coordinates' log-SNR (1 - t for flow)."""
    return lambda t: torch.sigmoid(affine.half_logsnr(t))


def uniform_tokens(classes: int, keep: Curve) -> Categorical:
    """Every class equally likely at the source."""
    return Categorical(torch.full((classes,), 1 / classes, dtype=torch.float64), keep)


def marginal(m: Tensor, keep: Curve) -> Categorical:
    """The source follows the data's own frequencies `m [K]` (counts are normalised)."""
    if m.dim() != 1 or bool((m < 0).any()) or float(m.sum()) <= 0:
        raise ValueError(f"`m` must be non-negative counts or probabilities over classes, got {m.tolist()}.")
    return Categorical(m.double() / m.double().sum(), keep)


def absorbing(classes: int, keep: Curve) -> Categorical:
    """Tokens turn into a mask, the extra class `classes` (K = classes + 1); a belief gives the mask no weight."""
    return Categorical(torch.nn.functional.one_hot(torch.tensor(classes), classes + 1).double(), keep)


def draw(p: Tensor, rng: Rng) -> Tensor:
    """Tokens `[...]` with probabilities `p [..., K]`, by inverting the cumulative sum."""
    u = uniform(p.shape[:-1], p.device, rng).unsqueeze(-1).to(p.dtype)
    cumulative = p.cumsum(-1)
    token = (cumulative <= u * cumulative[..., -1:]).sum(-1)
    # Rounding may carry u past the last class with weight: never return a class beyond the table.
    return token.clamp(max=p.shape[-1] - 1)
