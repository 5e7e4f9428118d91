"""Token chains that walk instead of forgetting: any reversible rate matrix, such as D3PM's discretised Gaussian.

Qbar_t = keep(t)^V with -log keep as clock and V = -R the rate matrix, scaled so that its slowest mode decays as keep
does. With R = 1 m' - I that is `Categorical`; a banded R moves ordinal tokens (bond orders, charges, grey levels) to
their neighbours first, one built on nearest neighbours keeps to similar tokens. arXiv:2107.03006, appendix A.2
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from scigen.process.affine import Curve, derivative
from scigen.process.categorical import Categorical, draw
from scigen.state import Rng, Time, as_time, expand

__all__ = ["TokenProcess", "Transition", "ordinal", "reversible"]


@dataclass(frozen=True)
class Transition:
    """Stationary law `m [K]`, rates `rate [K, K]` with m_i rate_ij = m_j rate_ji, and `keep`; built by `reversible`.

    A belief, its posterior and its rates mean what they mean for `Categorical`. Cost K^2 a token: for small tables.
    """

    m: Tensor
    rate: Tensor
    keep: Curve

    def source(self, like: Tensor, rng: Rng) -> Tensor:
        """Independent tokens from m; `like` gives the shape."""
        return draw(self.m.to(like.device).expand(*like.shape, -1), rng)

    def noise(self, x0: Tensor, x1: Tensor, t: Time, rng: Rng) -> Tensor:
        """A draw from row x0 of Qbar_t; a walk has no use for the source token x1."""
        return draw(self.law(torch.nn.functional.one_hot(x0, len(self.m)).double(), t), rng)

    def law(self, p0: Tensor, t: Time) -> Tensor:
        """p0 Qbar_t: the law of x_t when x0 ~ p0 `[..., K]`."""
        return _apply(p0, self.kernel(self.keep(as_time(t))))

    def posterior(self, x_t: Tensor, belief: Tensor, t: Time, s: Time) -> Tensor:
        """p(x_s | x_t) ∝ Q_ts(x_s, x_t) sum_x0 belief(x0) Qbar_s(x0, x_s) / Qbar_t(x0, x_t), `[..., K]`."""
        keep_t, keep_s = self.keep(as_time(t)), self.keep(as_time(s))
        here, w = self._origins(x_t, belief, t)
        between = self.kernel(torch.where(keep_s > 0, keep_t / torch.where(keep_s > 0, keep_s, 1.0), 1.0))
        p = _apply(here, between.mT) * self.law(w, s)
        total = p.sum(-1, keepdim=True)
        return torch.where(total > 0, p / torch.where(total > 0, total, 1.0), here)

    def step(self, x_t: Tensor, belief: Tensor, t: Time, s: Time, rng: Rng) -> Tensor:
        """Exact draw of x_s given x_t and the belief about x0."""
        return draw(self.posterior(x_t, belief, t, s), rng)

    def ratios(self, x_t: Tensor, belief: Tensor, t: Time) -> Tensor:
        """Concrete score p_t(y) / p_t(x_t) over y `[..., K]`, the other tokens fixed; 1 at y = x_t."""
        here, w = self._origins(x_t, belief, t)
        r = self.law(w, t)
        total = (r * here).sum(-1, keepdim=True)
        return torch.where(total > 0, r / torch.where(total > 0, total, 1.0), here)

    def fall(self, t: Time) -> Tensor:
        """-keep'(t)."""
        return -derivative(self.keep, as_time(t))

    def rates_out(self, x_t: Tensor, t: Time) -> Tensor:
        """Jumps of the forward chain per unit of t, x_t to y: -V(x_t, y) (-keep' / keep), 0 at y = x_t; `[..., K]`."""
        return self._rates(x_t, t, self._generator)

    def rates_in(self, x_t: Tensor, t: Time) -> Tensor:
        """The same from y to x_t."""
        return self._rates(x_t, t, self._generator.mT)

    def reverse_rates(self, x_t: Tensor, belief: Tensor, t: Time) -> Tensor:
        """Jumps per unit of falling t from x_t to y: `rates_in` times `ratios`. Infinite at keep = 0."""
        ratios = self.ratios(x_t, belief, t)
        return self.rates_in(x_t, t).to(ratios) * ratios

    def kernel(self, keep: Tensor) -> Tensor:
        """keep^V `[..., K, K]` in float64, rows summing to one: the identity at keep = 1, rows m at keep = 0."""
        decay, left, right = self._modes
        faded = keep.double().to(left.device)[..., None] ** decay  # 0^0 = 1 keeps the stationary mode
        return ((left * faded[..., None, :]) @ right).clamp(min=0)

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor, Tensor]:
        """V = left diag(decay) right, by the symmetric matrix sqrt(m_i) V_ij / sqrt(m_j)."""
        root = self.m.double().sqrt()
        decay, vectors = torch.linalg.eigh(-root[:, None] * self.rate.double() / root)
        decay = torch.cat([torch.zeros(1).double(), decay[1:] / decay[1]])
        return decay, vectors / root[:, None], vectors.mT * root

    @cached_property
    def _generator(self) -> Tensor:
        decay, left, right = self._modes
        return -(left * decay) @ right

    def _rates(self, x_t: Tensor, t: Time, rate: Tensor) -> Tensor:
        here = torch.nn.functional.one_hot(x_t, len(self.m)).double()
        speed = expand(self.fall(t) / self.keep(as_time(t)), here)
        return torch.where(here > 0, 0.0, speed * (here @ rate.to(here)))

    def _origins(self, x_t: Tensor, belief: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """One-hot of x_t, and w(x0) = belief(x0) / Qbar_t(x0, x_t); in float32 at least."""
        belief = belief.to(torch.promote_types(belief.dtype, torch.float32))
        here = torch.nn.functional.one_hot(x_t, len(self.m)).to(belief)
        to_here = _apply(here, self.kernel(self.keep(as_time(t))).mT)
        possible = to_here > 0
        return here, torch.where(possible, belief / torch.where(possible, to_here, 1.0), 0.0)


TokenProcess: TypeAlias = Categorical | Transition


def reversible(weights: Tensor, keep: Curve, m: Tensor | None = None) -> Transition:
    """Rates weights_ij / m_i between tokens i != j, `weights [K, K]` symmetric; m is uniform unless given.

    Zeros forbid direct jumps (nearest neighbours, bands). Raises ValueError for weights that are not symmetric, are
    negative, or leave some tokens out of reach of the others.
    """
    w = weights.double()
    if w.dim() != 2 or w.shape[0] != w.shape[1] or not torch.equal(w, w.mT) or bool((w < 0).any()):
        raise ValueError(
            f"`weights` must be symmetric and not negative, got shape {tuple(w.shape)}; use (w + w.T) / 2."
        )
    law = torch.full((len(w),), 1 / len(w), dtype=torch.float64) if m is None else m.double() / m.double().sum()
    w = w - torch.diag(w.diagonal())
    if bool((torch.linalg.matrix_power((w > 0).double() + torch.eye(len(w)).double(), len(w)) == 0).any()):
        raise ValueError("`weights` leave some tokens out of reach of the others; join the pieces by a small weight.")
    rate = w / law[:, None]
    return Transition(law, rate - torch.diag(rate.sum(1)), keep)


def ordinal(classes: int, keep: Curve, width: float = 1.0) -> Transition:
    """Discretised Gaussian: weights exp(-(i - j)^2 / (2 width^2)), uniform at the source. arXiv:2107.03006, A.2.3

    `width` in classes: small walks by one, large forgets at once as uniform tokens do. Raises ValueError unless > 0.
    """
    if not width > 0:
        raise ValueError(f"`width` must be positive, got {width}; 1 moves to neighbours first.")
    i = torch.arange(classes, dtype=torch.float64)
    return reversible(torch.exp(-((i[:, None] - i) ** 2) / (2 * width**2)), keep)


def _apply(p: Tensor, kernel: Tensor) -> Tensor:
    """p `[B, ..., K]` times one matrix, or one per sample."""
    kernel = kernel.to(p)
    return p @ kernel if kernel.dim() == 2 else (p.reshape(len(p), -1, p.shape[-1]) @ kernel).reshape(p.shape)
