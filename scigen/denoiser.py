"""The denoiser contract: the belief about x0 given x_t, whatever the process.

A network is conditioned on log-SNR and sees inputs scaled to unit variance. With independent Gaussian x1 the belief
depends on (x_t / scale(t), logsnr(t)) alone, so one network serves every affine process (Kingma et al. 2021,
arXiv:2107.00630). The other four expressions of the same belief, for x_t = a x0 + s x1:
    eps = (x_t - a x0) / s,   score = -eps / s,   v = a eps - s x0 (when a^2 + s^2 = 1),   velocity = a' x0 + s' eps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.state import State, Time, expand

__all__ = ["Belief", "Denoiser", "Network", "epsilon", "from_network", "score", "sharpen", "v_target", "velocity"]

Belief = Any  # Tensor for one field; Mapping[str, Tensor] for a State


class Denoiser(Protocol):
    """Belief about x0: the mean of a continuous field, probabilities `[..., K]` of a categorical one.

    `previous` is the belief of the step before, for networks that condition on it (arXiv:2208.04202); closed forms
    ignore it.
    """

    def __call__(self, x_t: Any, t: Time, previous: Belief | None = None) -> Belief: ...


class Network(Protocol):
    """A network on a `State` whose continuous field has unit variance: categorical outputs are logits."""

    def __call__(self, x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None) -> dict[str, Tensor]: ...


def from_network(
    network: Network,
    affine: Affine,
    field: str = "pos",
    std: float = 1.0,
    logsnr_range: tuple[float, float] = (-15.0, 15.0),
) -> Denoiser:
    """Denoiser of a network under any affine process of its continuous `field` of standard deviation `std`.

    The conditioning is clamped to the log-SNR the network was trained on, the process never is.
    """

    def denoise(x_t: State, t: Time, previous: Belief | None = None) -> Belief:
        pos = x_t[field]
        logsnr = affine.logsnr(t).clamp(*logsnr_range).to(pos)
        scaled = x_t.replace(**{field: pos / expand(affine.scale(t, std), pos)})
        out = network(scaled, logsnr.expand(len(pos)), previous)
        return {name: y if name == field else torch.softmax(y.float(), -1) for name, y in out.items()}

    return denoise


def sharpen(denoise: Denoiser, power: Mapping[str, float]) -> Denoiser:
    """Raise the probabilities of the named categorical fields to a power and renormalise (temperature 1 / power)."""

    def sharpened(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        belief = dict(denoise(x_t, t, previous))
        for name, exponent in power.items():
            p = belief[name] ** exponent
            belief[name] = p / p.sum(-1, keepdim=True)
        return belief

    return sharpened


def epsilon(affine: Affine, x_t: Tensor, x0: Tensor, t: Time) -> Tensor:
    """eps = (x_t - alpha x0) / sigma; do not ask for it at sigma = 0."""
    return (x_t - expand(affine.alpha(t), x_t) * x0) / expand(affine.sigma(t), x_t)


def score(affine: Affine, x_t: Tensor, x0: Tensor, t: Time) -> Tensor:
    """grad log p_t(x_t) = -(x_t - alpha x0) / sigma^2."""
    return -epsilon(affine, x_t, x0, t) / expand(affine.sigma(t), x_t)


def v_target(affine: Affine, x_t: Tensor, x0: Tensor, t: Time) -> Tensor:
    """v = alpha eps - sigma x0, for processes with alpha^2 + sigma^2 = 1 (arXiv:2202.00512)."""
    return expand(affine.alpha(t), x_t) * epsilon(affine, x_t, x0, t) - expand(affine.sigma(t), x_t) * x0


def velocity(affine: Affine, x_t: Tensor, x0: Tensor, t: Time) -> Tensor:
    """dx/dt of the probability-flow ODE: alpha' x0 + sigma' eps."""
    return expand(affine.d_alpha(t), x_t) * x0 + expand(affine.d_sigma(t), x_t) * epsilon(affine, x_t, x0, t)
