"""EDM's preconditioning: a raw network F that sees unit variance and is asked for unit variance at every noise level.

D(y; sigma) = c_skip y + c_out F(c_in y; c_noise), y = x_t / alpha and sigma = sigma_t / alpha_t in the data's units:
    c_skip = s^2 / (sigma^2 + s^2),  c_out = sigma s / sqrt(sigma^2 + s^2),  c_in = 1 / sqrt(sigma^2 + s^2),
    c_noise = log(sigma) / 4,  s the data's standard deviation. Karras et al. 2022, arXiv:2206.00364, table 1.
c_out is the least for which the target of F has unit variance. The loss weight 1 / c_out^2 is `objective.edm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser, Network
from scigen.process.affine import Affine
from scigen.state import State, Time, expand

__all__ = ["Coefficients", "edm_coefficients", "edm_denoiser", "precondition"]


class Coefficients(NamedTuple):
    """c_skip, c_out, c_in and c_noise, shaped like the log-SNR."""

    skip: Tensor
    out: Tensor
    inside: Tensor
    noise: Tensor


def edm_coefficients(logsnr: Tensor, std: float = 0.5) -> Coefficients:
    """The four at sigma = e^(-logsnr / 2), finite from no signal to no noise (but for c_noise = -logsnr / 8).

    With k = logsnr + 2 log s: c_skip = sigmoid(k), c_out = s sqrt(sigmoid(-k)), c_in = sqrt(sigmoid(k)) / s.
    """
    k = logsnr + 2 * math.log(std)
    signal, noise = torch.sigmoid(k), torch.sigmoid(-k)
    return Coefficients(signal, std * noise.sqrt(), signal.sqrt() / std, -logsnr / 8)


def edm_denoiser(raw: Callable[[Tensor, Tensor], Tensor], affine: Affine, std: float = 0.5) -> Denoiser:
    """The belief of a raw network `(c_in y [B, ...], c_noise [B]) -> [B, ...]` under any affine process.

    c_in y is x_t / scale(t, s), and c_skip y the same times s sqrt(c_skip): neither divides by alpha, so t = 1 of flow
    and cosine is as good a time as any; there c_noise is infinite, and a raw network that embeds it should clamp it.
    """

    def denoise(x_t: Tensor, t: Time, previous: Belief | None = None) -> Tensor:
        c = edm_coefficients(affine.logsnr(t), std)
        seen = x_t / expand(affine.scale(t, std), x_t)
        raw_out = raw(seen, c.noise.to(x_t).expand(len(x_t)))
        return expand(std * c.skip.sqrt(), x_t) * seen + expand(c.out, x_t) * raw_out

    return denoise


def precondition(raw: Network, std: float, field: str = "pos") -> Network:
    """A raw network on states as a `Network` for `from_network(..., field, std)`: its `field` becomes x0hat.

    It sees what `from_network` shows, c_in y and the log-SNR, of which c_noise is an eighth.
    """

    def network(x: State, logsnr: Tensor, previous: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        out, c = raw(x, logsnr, previous), edm_coefficients(logsnr, std)
        skip, gain = (expand(y, x[field]) for y in (std * c.skip.sqrt(), c.out))
        return {**out, field: skip * x[field] + gain * out[field]}

    return network
