"""A network of the shape of EDM's QM9 model, written from its description (arXiv:2203.17003, section 3.2, appendix B).

Nine EGNN layers of 256 features on the complete graph: messages from h_i, h_j, the squared distance now and at the
input; a sigmoid gate on each message; coordinates moved by tanh-bounded steps along x_i - x_j. Untrained: it is here to
be timed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Egnn"]

INPUTS = 7  # five elements, the nuclear charge, the time
BOUND = 15.0  # largest step of a coordinate, as published
SCALE = 100.0  # sums over neighbours are divided by this, as published


def perceptron(first: int, width: int, last: int) -> nn.Sequential:
    """Two layers, SiLU between."""
    return nn.Sequential(nn.Linear(first, width), nn.SiLU(), nn.Linear(width, last))


class EgnnLayer(nn.Module):
    """Messages, gate, node update, coordinate update."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge = nn.Sequential(perceptron(2 * width + 2, width, width), nn.SiLU())
        self.gate = nn.Linear(width, 1)
        self.node = perceptron(2 * width, width, width)
        self.step = nn.Sequential(perceptron(2 * width + 2, width, width), nn.SiLU(), nn.Linear(width, 1, bias=False))

    def forward(self, h: Tensor, x: Tensor, first: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        message = self.edge(features(h, x, first))
        message = message * torch.sigmoid(self.gate(message)) * pairs
        h = h + self.node(torch.cat([h, message.sum(2).to(h.dtype) / SCALE], -1))
        way = x[:, :, None] - x[:, None]
        unit = way / (way.square().sum(-1, keepdim=True).add(1e-8).sqrt() + 1)
        size = BOUND * torch.tanh(self.step(features(h, x, first))) * pairs
        return h, x + (unit * size).sum(2) / SCALE


class Egnn(nn.Module):
    """Noise of coordinates `[B, N, 3]` and features `[B, N, 6]` from noisy ones and the time."""

    def __init__(self, width: int = 256, layers: int = 9) -> None:
        super().__init__()
        self.enter = nn.Linear(INPUTS, width)
        self.layers = nn.ModuleList(EgnnLayer(width) for _ in range(layers))
        self.leave = nn.Linear(width, INPUTS)

    def forward(self, x: Tensor, features_t: Tensor, t: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        time = t[:, None, None].expand(*mask.shape, 1)
        h = self.enter(torch.cat([features_t, time], -1))
        pairs = (mask[:, :, None] & mask[:, None])[..., None].float()
        first, start = square(x), x
        for layer in self.layers:
            h, x = layer(h, x, first, pairs)
        return x - start, self.leave(h)[..., :-1]


def square(x: Tensor) -> Tensor:
    """|x_i - x_j|^2, `[B, N, 3] -> [B, N, N, 1]`."""
    return (x[:, :, None] - x[:, None]).square().sum(-1, keepdim=True)


def features(h: Tensor, x: Tensor, first: Tensor) -> Tensor:
    """h_i, h_j and both squared distances of every pair."""
    n = h.shape[1]
    receive, send = h[:, :, None].expand(-1, n, n, -1), h[:, None].expand(-1, n, n, -1)
    return torch.cat([receive, send, square(x).to(h.dtype), first.to(h.dtype)], -1)
