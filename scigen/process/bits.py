"""Analog bits: integers as +-1 bits, noised like coordinates by any affine process.

A token k < K becomes ceil(log2 K) numbers +-1, highest bit first; its mean under a belief over tokens is the belief
about the bits, and reading back takes the nearest codeword of the table, which for a K that is a power of two is the
sign of every bit. Chen, Zhang and Hinton 2022, arXiv:2208.04202 (whose self-conditioning is a denoiser's `previous`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.state import Time, expand

__all__ = ["bits_belief", "codewords", "exact_bits", "from_bits", "to_bits"]


def codewords(classes: int) -> Tensor:
    """The table of +-1 codewords `[K, bits]`, float32. Raises ValueError below two classes."""
    if classes < 2:
        raise ValueError(f"`classes` must be at least 2 to need a bit, got {classes}.")
    count = (classes - 1).bit_length()
    powers = 2 ** torch.arange(count - 1, -1, -1)
    return torch.where((torch.arange(classes)[:, None] & powers) > 0, 1.0, -1.0)


def to_bits(tokens: Tensor, classes: int) -> Tensor:
    """Tokens `[...]` as +-1 bits `[..., bits]`. Raises ValueError for a token outside the table."""
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < classes:
        raise ValueError(f"tokens must lie in [0, {classes}), got {int(tokens.min())} to {int(tokens.max())}.")
    return codewords(classes).to(tokens.device)[tokens]


def from_bits(bits: Tensor, classes: int) -> Tensor:
    """The token whose codeword is nearest to `bits [..., bits]`: never one outside the table.

    Codewords are of one length, so the nearest has the largest inner product.
    """
    bits = bits.to(torch.promote_types(bits.dtype, torch.float32))
    return (bits @ codewords(classes).to(bits).mT).argmax(-1)


def bits_belief(belief: Tensor) -> Tensor:
    """Mean of the bits `[..., bits]` under probabilities over tokens `[..., K]`: what an affine solver asks for."""
    return belief @ codewords(belief.shape[-1]).to(belief)


def exact_bits(affine: Affine, law: Tensor) -> Callable[..., Tensor]:
    """Exact belief about the bits `[..., bits]` of independent tokens with frequencies `law [K]`, as a denoiser.

    p(k | x_t) ∝ law(k) exp(alpha <x_t, c_k> / sigma^2), as all codewords c_k are of one length; at sigma = 0 the
    nearest codeword that has any weight. In float64.
    """

    def denoise(x_t: Tensor, t: Time, previous: Any = None) -> Tensor:
        x, table = x_t.double(), codewords(len(law)).double().to(x_t.device)
        pull = expand(affine.alpha(t) / affine.sigma(t).double().clamp(min=1e-100) ** 2, x)
        p = torch.softmax(law.double().to(x.device).log() + pull * (x @ table.mT), -1)
        return (p @ table).to(x_t.dtype)

    return denoise
