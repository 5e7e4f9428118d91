"""Bridge matching: regress x0 on x_t over the bridges between given pairs.

min E |x0 - D(x_t, t)|^2 / w, with x_t on the bridge from x1 to x0; the minimiser E[x0 | x_t] drives the Markov process
that has the bridges' marginals. Peluchetti 2023, arXiv:2304.00917; Shi et al. 2023, arXiv:2303.16852; on paired data
this is I2SB, arXiv:2302.05872, and at scale 0 flow matching, arXiv:2209.03003.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scigen.denoiser import Denoiser
from scigen.oracle import Joint, bridge_belief
from scigen.process.brownian import Brownian
from scigen.process.interpolant import Ends, Interpolant
from scigen.state import Time, expand

__all__ = ["Fit", "ends_loss", "linear_fit", "matching_loss", "moments", "regression", "residual_denoiser"]


class Fit(Protocol):
    """Learns the belief about x0 from pairs `[n, ...]` joined by `bridge`."""

    def __call__(self, bridge: Brownian, x0: Tensor, x1: Tensor, rng: torch.Generator) -> Denoiser: ...


def linear_fit(bridge: Brownian, x0: Tensor, x1: Tensor, rng: torch.Generator) -> Denoiser:
    """The best belief linear in x_t, at every t at once, from the pairs' first two moments; exact for Gaussians."""
    return bridge_belief(bridge, moments(x0, x1))


def moments(x0: Tensor, x1: Tensor) -> Joint:
    """Means and covariances of pairs `[n, D]`, in float64."""
    both = torch.cat([x0, x1], 1).double()
    cov, d = torch.cov(both.mT, correction=0).reshape(both.shape[1], -1), x0.shape[1]
    return Joint(both[:, :d].mean(0), both[:, d:].mean(0), cov[:d, :d], cov[d:, d:], cov[:d, d:])


def regression(network: nn.Module, steps: int, batch: int = 256, rate: float = 1e-3) -> Fit:
    """Adam on `matching_loss` for `steps` batches drawn from the pairs.

    `network(x_t, w) -> [B, ...]` sees the bridge's clock w `[B]`. Every call trains on from where the last one stopped,
    and all denoisers it returns are that one network: an iteration refines it rather than starting anew.
    """

    def fit(bridge: Brownian, x0: Tensor, x1: Tensor, rng: torch.Generator) -> Denoiser:
        optimiser = torch.optim.Adam(network.parameters(), rate)
        for _ in range(steps):
            rows = torch.randint(len(x0), (batch,), generator=rng, device=rng.device).to(x0.device)
            optimiser.zero_grad()
            matching_loss(bridge, network, x0[rows], x1[rows], rng).backward()
            optimiser.step()
        return residual_denoiser(bridge, network)

    return fit


def matching_loss(
    bridge: Brownian, network: Callable[[Tensor, Tensor], Tensor], x0: Tensor, x1: Tensor, rng: torch.Generator
) -> Tensor:
    """Mean of |network(x_t, w) - (x_t - x0) / sqrt(w)|^2, t uniform, one stratum a row: E |x0 - D|^2 / w, a scalar.

    The target is sqrt(w) (x1 - x0) + scale sqrt(1 - w) z: of bounded variance at both ends, whatever the scale.
    """
    t = _times(len(x0), rng)
    x_t, w = bridge.noise(x0, x1, t, rng), bridge.beta(t)
    target = (x_t - x0) / expand(w.sqrt(), x0)
    return (network(x_t, w.to(x0)) - target).square().mean()


def ends_loss(
    process: Interpolant | Brownian,
    denoise: Callable[[Tensor, Tensor], Ends],
    x0: Tensor,
    x1: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """Mean of |x0hat - x0|^2 + |x1hat - x1|^2 for `denoise(x_t, t [B]) -> Ends`, t uniform, one stratum a row.

    The one regression behind velocity and score of a stochastic interpolant, both linear in its minimiser. Their own
    losses (arXiv:2303.08797, section 2) weigh its error by gamma' / gamma and 1 / gamma, infinite at the ends.
    """
    t = _times(len(x0), rng)
    ends = denoise(process.noise(x0, x1, t, rng), t)
    return ((ends.x0 - x0).square() + (ends.x1 - x1).square()).mean()


def residual_denoiser(bridge: Brownian, network: Callable[[Tensor, Tensor], Tensor]) -> Denoiser:
    """D(x_t, t) = x_t - sqrt(w) network(x_t, w): exact at t = 0 whatever the network says."""

    def denoise(x_t: Tensor, t: Time, previous: Any = None) -> Tensor:
        w = bridge.beta(t).to(x_t)
        return x_t - expand(w.sqrt(), x_t) * network(x_t, w.expand(len(x_t)))

    return denoise


def _times(count: int, rng: torch.Generator) -> Tensor:
    """One time in each of `count` equal strata of (0, 1]; float64, in which even a reversed clock leaves 0 at once."""
    offset = torch.rand((), generator=rng, dtype=torch.float64, device=rng.device).cpu()
    return (torch.arange(1, count + 1) - offset) / count
