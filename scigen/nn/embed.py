"""Embeddings of numbers: log-SNR and distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["LogSnrEmbedding", "radial_basis"]


def radial_basis(distance: Tensor, count: int, limit: float) -> Tensor:
    """Gaussians exp(-((d - c_k) / w)^2) on `count` evenly spaced centres of [0, limit]; `[...] -> [..., count]`."""
    centres = torch.linspace(0, limit, count, device=distance.device, dtype=distance.dtype)
    width = limit / (count - 1)
    return torch.exp(-(((distance.unsqueeze(-1) - centres) / width) ** 2))


class LogSnrEmbedding(nn.Module):
    """Sines and cosines of log-SNR through a two-layer perceptron, `[B] -> [B, width]`."""

    omega: Tensor

    def __init__(self, width: int, frequencies: int = 32) -> None:
        super().__init__()
        # Periods from 60 (the whole range of log-SNR seen in training) down to 1.
        periods = torch.exp(torch.linspace(math.log(60.0), 0.0, frequencies))
        self.register_buffer("omega", 2 * math.pi / periods, persistent=False)
        self.net = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, logsnr: Tensor) -> Tensor:
        phase = logsnr[:, None] * self.omega
        return self.net(torch.cat([phase.sin(), phase.cos()], -1))
