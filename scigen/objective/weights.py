"""How an error counts: weights of |x0 - x0hat|^2 as functions of log-SNR, alike under every affine process.

A weight and the law of t it is used with are one choice: `effective` makes of them a weighting of the bound.
`-SNR' / 2`, the weight of the bound itself, is `likelihood.elbo.rate`.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["edm", "effective", "min_snr", "sigmoid", "snr", "truncated_snr"]


def snr(logsnr: Tensor) -> Tensor:
    """SNR: a unit weight on epsilon, L_simple. arXiv:2006.11239"""
    return logsnr.exp()


def truncated_snr(logsnr: Tensor, cap: float) -> Tensor:
    """min(1 + SNR, cap): the v-prediction weight on an error in x0, truncated near the data.

    1 + SNR makes a unit-variance residual count alike at every noise level (arXiv:2202.00512, arXiv:2303.09556).
    """
    return (1 + logsnr.exp()).clamp(max=cap)


def min_snr(logsnr: Tensor, gamma: float = 5.0) -> Tensor:
    """min(SNR, gamma): L_simple without its weight near the data. arXiv:2303.09556"""
    return logsnr.exp().clamp(max=gamma)


def sigmoid(logsnr: Tensor, bias: float = 0.0) -> Tensor:
    """SNR sigmoid(bias - logsnr): on epsilon a falling weight, so with uniform log-SNR a mixture of bounds.

    arXiv:2303.00848, section 5
    """
    return logsnr.exp() * torch.sigmoid(bias - logsnr)


def edm(logsnr: Tensor, std: float = 0.5) -> Tensor:
    """1 / std^2 + SNR = 1 / c_out^2: unit weight on EDM's raw network for data of standard deviation `std`.

    For std = 1 it is v's 1 + SNR. arXiv:2206.00364
    """
    return std**-2 + logsnr.exp()


def effective(weight: Tensor, logsnr: Tensor, density: Tensor) -> Tensor:
    """w of the loss (1/2) integral of w |eps - epshat|^2 dlogsnr that a weight on x0 and a density of log-SNR make.

    w = 2 weight density / SNR; constant for the bound itself. `likelihood.elbo.noise_mixture` says when the loss is a
    mixture of bounds. arXiv:2303.00848
    """
    return 2 * weight * density / logsnr.exp()
