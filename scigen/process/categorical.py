"""Categorical processes: a token keeps its value with probability keep(t), else is redrawn from `m`.

Qbar_t = keep(t) I + (1 - keep(t)) 1 m'. The redraw law m names the method:
    uniform            `uniform_tokens`   D3PM (arXiv:2107.03006), SEDD-uniform (arXiv:2310.16834)
    the data's own     `marginal`         DiGress (arXiv:2209.14734)
    one-hot on a mask  `absorbing`        D3PM-absorbing, SEDD-absorb, MDLM (arXiv:2406.07524), LLaDA (arXiv:2502.09992)
Tokens are integer class indices `[...]`, a belief is probabilities over x0, `[..., K]`. What a network says may equally
be the concrete score, the ratios p_t(y) / p_t(x_t): `ratios` and `belief_of` convert, exactly, for every m.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.process.affine import Affine, Curve, derivative
from scigen.state import Rng, Time, as_time, expand, uniform

__all__ = ["Categorical", "absorbing", "draw", "keep_of", "mask_token", "marginal", "uniform_tokens"]


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

    def law(self, p0: Tensor, t: Time) -> Tensor:
        """p0 Qbar_t = keep p0 + (1 - keep) m sum p0: the law of x_t when x0 ~ p0 `[..., K]`."""
        stay, go = _shares(self.keep(as_time(t)), p0)
        return stay * p0 + go * self.m.to(p0) * p0.sum(-1, keepdim=True)

    def posterior(self, x_t: Tensor, belief: Tensor, t: Time, s: Time) -> Tensor:
        """p(x_s | x_t) = sum_x0 belief(x0) q(x_s | x_t, x0), `[..., K]`.

        With w(x0) = belief(x0) / Qbar_t(x0, x_t): p(x_s) ∝ Q_ts(x_s, x_t) (keep_s w(x_s) + (1 - keep_s) m(x_s) sum w),
        linear in K because every matrix is a multiple of the identity plus rank one.
        """
        here, w = self._origins(x_t, belief, t)
        keep_t, keep_s = self.keep(as_time(t)), self.keep(as_time(s))
        # Between two pure levels (keep = 0) nothing is to be learnt: the token stays.
        stay, go = _shares(torch.where(keep_s > 0, keep_t / keep_s.clamp(min=torch.finfo(keep_s.dtype).tiny), 1.0), w)
        jump = stay * here + go * self.m.to(w)[x_t].unsqueeze(-1)  # Q_ts(x_s, x_t) over x_s
        p = jump * self.law(w, s)
        # A belief that gives x_t's only possible origins no weight says nothing: stay.
        return _normalised(p, p.sum(-1, keepdim=True), here)

    def step(self, x_t: Tensor, belief: Tensor, t: Time, s: Time, rng: Rng) -> Tensor:
        """Exact draw of x_s given x_t and the belief about x0 (SEDD's Tweedie step)."""
        return draw(self.posterior(x_t, belief, t, s), rng)

    def ratios(self, x_t: Tensor, belief: Tensor, t: Time) -> Tensor:
        """Concrete score p_t(y) / p_t(x_t) over y `[..., K]`, the other tokens fixed; 1 at y = x_t.

        sum_x0 belief(x0) Qbar_t(x0, y) / Qbar_t(x0, x_t) = keep w(y) + (1 - keep) m(y) sum w. From an unmasked token of
        an absorbing chain, where m(x_t) = 0, it counts the one origin possible; no rate asks for it. arXiv:2310.16834
        """
        here, w = self._origins(x_t, belief, t)
        r = self.law(w, t)
        return _normalised(r, (r * here).sum(-1, keepdim=True), here)

    def belief_of(self, x_t: Tensor, ratios: Tensor, t: Time) -> Tensor:
        """The belief `[..., K]` whose concrete score is `ratios`; the inverse of `ratios`.

        The ratios sum to sum w, so w(y) = (ratios(y) - (1 - keep) m(y) sum w) / keep and belief = w Qbar_t(., x_t).
        Scores of no belief (a network's) lose their negative weights. Raises ValueError at keep = 0, where ratios are
        m(y) / m(x_t) whatever the data.
        """
        keep = self.keep(as_time(t))
        if bool((keep == 0).any()):
            raise ValueError("`ratios` say nothing of the data at keep = 0; ask for the belief at a smaller t.")
        stay, go = _shares(keep, ratios)
        here, m = _one_hot(x_t, ratios), self.m.to(ratios)
        w = (ratios - go * m * ratios.sum(-1, keepdim=True)) / stay
        belief = (w * (stay * here + go * m[x_t].unsqueeze(-1))).clamp(min=0)
        return _normalised(belief, belief.sum(-1, keepdim=True), here)

    def fall(self, t: Time) -> Tensor:
        """-keep'(t): how fast tokens are lost."""
        return -derivative(self.keep, as_time(t))

    def rates_out(self, x_t: Tensor, t: Time) -> Tensor:
        """Jumps of the forward chain per unit of t, from x_t to y: m(y) (-keep' / keep), 0 at y = x_t; `[..., K]`.

        In the type of m. Infinite at keep = 0.
        """
        return self._rates(x_t, t, self.m)

    def rates_in(self, x_t: Tensor, t: Time) -> Tensor:
        """The same from y to x_t: m(x_t) (-keep' / keep)."""
        return self._rates(x_t, t, self.m.to(x_t.device)[x_t].unsqueeze(-1))

    def reverse_rates(self, x_t: Tensor, belief: Tensor, t: Time) -> Tensor:
        """Jumps per unit of falling t, x_t to y: m(x_t) (-keep' / keep) p_t(y) / p_t(x_t), 0 at y = x_t; `[..., K]`.

        For an absorbing chain belief(y) (-keep') / (1 - keep) at a mask, finite at keep = 0; for the others infinite
        there. arXiv:2205.14987, arXiv:2310.16834
        """
        here, w = self._origins(x_t, belief, t)
        stay, go = _shares(self.keep(as_time(t)), w)
        m, m_here = self.m.to(w), self.m.to(w)[x_t].unsqueeze(-1)
        # ratios / keep; infinite terms only where a jump takes them, so that neither values nor gradients see 0 inf.
        taken = (here == 0) & (m > 0) & (m_here > 0)
        r = w + torch.where(taken, go / stay * m, 0.0) * w.sum(-1, keepdim=True)
        total = (w * (stay * here + go * m_here)).sum(-1, keepdim=True)  # the belief's weight on possible origins
        r = torch.where(total > 0, r / torch.where(total > 0, total, 1.0), 0.0)
        return torch.where(here > 0, 0.0, expand(self.fall(t), w) * m_here * r)

    def _rates(self, x_t: Tensor, t: Time, share: Tensor) -> Tensor:
        here = _one_hot(x_t, self.m.to(x_t.device))
        speed = expand(self.fall(t) / self.keep(as_time(t)), here)
        return torch.where(here > 0, 0.0, speed * share.to(here))

    def _origins(self, x_t: Tensor, belief: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """One-hot of x_t, and w(x0) = belief(x0) / Qbar_t(x0, x_t); in float32 at least."""
        belief = belief.to(torch.promote_types(belief.dtype, torch.float32))
        stay, go = _shares(self.keep(as_time(t)), belief)
        here = _one_hot(x_t, belief)
        to_here = stay * here + go * self.m.to(belief)[x_t].unsqueeze(-1)  # Qbar_t(x0, x_t) over x0
        possible = to_here > 0  # an unmasked token rules the other x0 out: select before dividing
        return here, torch.where(possible, belief / torch.where(possible, to_here, 1.0), 0.0)


def keep_of(affine: Affine) -> Curve:
    """keep = alpha / (alpha + sigma) = sigmoid(logsnr / 2): tokens follow the coordinates' log-SNR (1 - t for flow)."""
    return lambda t: torch.sigmoid(affine.half_logsnr(t))


def uniform_tokens(classes: int, keep: Curve) -> Categorical:
    """Every class equally likely at the source. Raises ValueError below two classes."""
    _check(classes, 2)
    return Categorical(torch.full((classes,), 1 / classes, dtype=torch.float64), keep)


def marginal(m: Tensor, keep: Curve) -> Categorical:
    """The source follows the data's own frequencies `m [K]` (counts are normalised).

    Raises ValueError for anything but a vector of non-negative numbers with a positive sum.
    """
    if m.dim() != 1 or bool((m < 0).any()) or float(m.sum()) <= 0:
        raise ValueError(f"`m` must be non-negative counts or probabilities over classes, got {m.tolist()}.")
    return Categorical(m.double() / m.double().sum(), keep)


def absorbing(classes: int, keep: Curve) -> Categorical:
    """Tokens turn into a mask, the extra class `classes` (K = classes + 1); a belief gives the mask no weight.

    Raises ValueError without a class.
    """
    _check(classes, 1)
    return Categorical(torch.nn.functional.one_hot(torch.tensor(classes), classes + 1).double(), keep)


def mask_token(m: Tensor) -> int:
    """The one class that the redraw law `m [K]` of an absorbing chain allows. Raises ValueError if there are more."""
    if float(m.max()) < 1:
        raise ValueError(f"only an absorbing chain has a mask, got m = {m.tolist()}; use `absorbing`.")
    return int(m.argmax())


def draw(p: Tensor, rng: Rng) -> Tensor:
    """Tokens `[...]` with probabilities `p [..., K]`, by inverting the cumulative sum; in float32 at least."""
    p = p.to(torch.promote_types(p.dtype, torch.float32))  # in bfloat16 one uniform in 512 would round up to 1
    u = uniform(p.shape[:-1], p.device, rng).unsqueeze(-1).to(p.dtype)
    cumulative = p.cumsum(-1)
    total = cumulative[..., -1:]
    # Rounding may carry u past the last class with weight: never return a class without any.
    return torch.minimum((cumulative <= u * total).sum(-1), (cumulative < total).sum(-1))


def _check(classes: int, least: int) -> None:
    if classes < least:
        raise ValueError(f"`classes` must be at least {least}, got {classes}.")


def _shares(keep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """keep and 1 - keep in the shape and type of `like`; the difference is taken before the cut in precision."""
    return expand(keep, like), expand(1 - keep, like)


def _one_hot(x: Tensor, like: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(x, like.shape[-1]).to(like)


def _normalised(p: Tensor, total: Tensor, otherwise: Tensor) -> Tensor:
    """p / total, and `otherwise` where the total is 0."""
    return torch.where(total > 0, p / torch.where(total > 0, total, 1.0), otherwise)
