"""Latent points moved a little, so that the shape they decode to passes through what was observed.

    min over z  mean_i min_j |x_i - y_j(z)|^2 / d^2 + lambda (mean |p - p0|^2 / a^2 + mean |f - f0|^2 / b^2)

by a few steps of Adam, observed points x against decoded ones y, z = (p, f) near the draw (p0, f0); d is what two
samples of a surface are apart, a and b about what a bridge errs by. Nothing is said of what was not seen, yet it gains
as well: a latent point tells of both sides of a board.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scigen.nn.neighbours import knn
from scigen.nn.point_decoder import PointDecoder, disk
from scigen.state import State

__all__ = ["fitted"]

_POINTS = 1024  # of either side that are compared
_APART, _POS, _FEAT = 0.01, 0.03, 0.15  # d, a, b: bounding sphere's diameter 1, features of unit RMS
_NEAR = 0.3  # lambda
_RATE = {"pos": 0.01, "feat": 0.05}


def fitted(decoder: PointDecoder, latents: State, seen: np.ndarray, steps: int) -> State:
    """Latents of one shape in the unit frame, a batch of one, after `steps` towards points `seen [N, 3]` there."""
    rows = np.linspace(0, len(seen) - 1, min(len(seen), _POINTS)).astype(int)
    observed = torch.from_numpy(seen[rows]).to(latents["pos"])[None]
    code = disk(-(-_POINTS // latents.mask.shape[1])).to(observed)
    moved = {name: latents[name].clone().requires_grad_() for name in _RATE}
    rule = torch.optim.Adam([{"params": [moved[name]], "lr": rate} for name, rate in _RATE.items()], betas=(0.9, 0.95))
    for _ in range(steps):
        loss = _misfit(decoder, latents, moved, observed, code)
        for value, slope in zip(moved.values(), torch.autograd.grad(loss, list(moved.values())), strict=True):
            value.grad = slope
        rule.step()
    return latents.replace(**{name: value.detach() for name, value in moved.items()})


def _misfit(decoder: PointDecoder, drawn: State, moved: dict[str, Tensor], observed: Tensor, code: Tensor) -> Tensor:
    points, _ = decoder(drawn.replace(**moved), code)
    off = knn(observed, points, 1)[0].square().mean() / _APART**2
    gone = {name: (moved[name] - drawn[name]).square().mean() for name in moved}
    return off + _NEAR * (gone["pos"] / _POS**2 + gone["feat"] / _FEAT**2)
