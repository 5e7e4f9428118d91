"""Imagining views as a training task: the belief about the true views from their noise and a picture of the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scigen.domains.epochs import rows_at
from scigen.domains.image3d.tokens import folded, picture_channels, view_channels
from scigen.domains.image3d.viewset import ViewSet
from scigen.errors import InputError
from scigen.objective import even_times, truncated_snr
from scigen.process.affine import Affine
from scigen.state import State

__all__ = ["LOGSNR_RANGE", "SPARE", "Neighbours", "ViewBatches", "ViewsLoss", "ViewsTask", "views_loss", "views_scale"]

LOGSNR_RANGE = (-10.0, 10.0)
SPARE = 3  # neighbours more than are shown at a time


@dataclass(frozen=True)
class ViewsLoss:
    """Weights of the loss, in units of variance one."""

    snr_cap: float = 5.0
    normal: float = 2.0  # on the object, beside the outline's 1 everywhere
    depth: float = 2.0
    forget: float = 0.05  # share of samples that are shown no picture (and no neighbours), for guidance
    at_start: float = 0.35  # share that are shown nothing but the picture: the direct regression


@dataclass(frozen=True)
class Neighbours:
    """What a sample may be shown of others: `count` of the rows `of [R, I, K]`, nearest first.

    Half of the samples see the nearest, the others begin a few further on: so draws of one picture may differ by it.
    """

    of: np.ndarray
    count: int

    def drawn(self, row: int, picture: int, rng: np.random.Generator) -> np.ndarray:
        """The rows that picture `picture` of the `row`-th shape is shown this time."""
        spare = self.of.shape[-1] - self.count
        first = int(rng.integers(1, spare + 1)) if spare and rng.random() < 0.5 else 0
        return self.of[row, picture, first : first + self.count]


@dataclass(frozen=True)
class ViewBatches:
    """Rendered shapes, a batch of one rank at a step; one of a shape's pictures is drawn for it."""

    views: ViewSet
    rows: np.ndarray
    patch: int
    scale: float
    batch: int
    seed: int
    device: str = "cpu"
    near: Neighbours | None = None

    def at(self, step: int, rank: int = 0, world: int = 1) -> State:
        """The batch of one rank at one step. Raises `InputError` when the set is smaller than a batch."""
        chosen = rows_at(step, rank, world, self.batch, len(self.rows), (self.seed,))
        rng = np.random.default_rng([self.seed, 1, step, rank])
        which, rows = rng.integers(self.views.azimuth.shape[1], size=len(chosen)), self.rows[chosen]
        given = np.stack([picture_channels(self.views.subject(int(k), int(i))) for k, i in zip(rows, which)])
        fields = {"view": torch.cat([self._view(k) for k in rows]), "given": _tokens(given[:, None], self.patch)}
        if self.near is not None:
            shown = [self.near.drawn(int(k), int(i), rng) for k, i in zip(chosen, which)]
            fields["near"] = torch.cat([torch.cat([self._view(k) for k in own], -1) for own in shown])
        mask = torch.ones(fields["view"].shape[:2], dtype=torch.bool)
        return State(fields, mask).map(lambda x: x.to(self.device))

    def _view(self, row: int) -> Tensor:
        """The patches of the views of one shape, `[1, V G^2, P^2 C]`."""
        return _tokens(view_channels(self.views.views(int(row)))[None] / self.scale, self.patch)


@dataclass(frozen=True)
class ViewsTask:
    """A network, the noise, the views, the weights of the loss, and facts about the data."""

    network: nn.Module
    affine: Affine
    batches: ViewBatches
    loss_config: ViewsLoss
    facts: Mapping[str, Any] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, shapes)."""
        x0 = self.batches.at(step, world.rank, world.size)
        total, terms = views_loss(network, self.affine, x0, rng, self.loss_config, self.batches.patch)
        return total, terms, len(x0.mask)


def views_loss(
    network: Callable[..., Any], affine: Affine, x0: State, rng: torch.Generator, how: ViewsLoss, patch: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean of min(1 + SNR, cap) |x0 - x0hat|^2 at t even on (0, 1): outlines everywhere, the rest over the object.

    Off it normals and depth, which are zero there, count half as much as outlines. A share `at_start` sees
    x_t = 0 at the lowest log-SNR, so the same weights answer E[x0 | picture] at once.
    """
    view = x0["view"]
    count, device = len(view), view.device
    t = even_times(count, rng).clamp(1e-4, 1 - 1e-4)
    noise = torch.randn(view.shape, generator=rng, device=rng.device).to(device)
    logsnr = affine.logsnr(t).clamp(*LOGSNR_RANGE).to(view)
    signal, residual = (torch.sigmoid(sign * logsnr)[:, None, None].sqrt() for sign in (1, -1))
    start = torch.rand(count, generator=rng, device=rng.device).to(device) < how.at_start
    known = torch.rand(count, generator=rng, device=rng.device).to(device) >= how.forget
    seen = torch.where(start[:, None, None], 0.0, signal * view + residual * noise)
    logsnr = torch.where(start, torch.full_like(logsnr, LOGSNR_RANGE[0]), logsnr)
    told = {name: x0[name] * (known | start)[:, None, None] for name in ("given", "near") if name in x0}
    shown = x0.replace(view=seen, **told)
    out = network(shown, logsnr, None)["view"]
    channels = view.shape[-1] // patch**2
    square = (out - view).square().unflatten(-1, (patch**2, channels)) * truncated_snr(logsnr, how.snr_cap)[
        :, None, None, None
    ]
    inside = (view.unflatten(-1, (patch**2, channels))[..., 0] > 0).to(square)
    covered = inside.sum().clamp(min=1)
    terms = {
        "mask": square[..., 0].mean(),
        "normal": (square[..., 1:4].mean(-1) * inside).sum() / covered,
        "depth": (square[..., 4] * inside).sum() / covered,
        "off": (square[..., 1:].mean(-1) * (1 - inside)).sum() / (1 - inside).sum().clamp(min=1),
    }
    total = terms["mask"] + how.normal * terms["normal"] + how.depth * terms["depth"] + 0.5 * terms["off"]
    return total, terms


def views_scale(views: ViewSet, rows: np.ndarray, most: int = 512) -> float:
    """Root mean square of the channels over the first `most` of the shapes. Raises InputError without shapes."""
    if not len(rows):
        raise InputError(f"'{views.name}' has no training shapes; prepare more.")
    return float(np.sqrt(np.mean([np.square(view_channels(views.views(int(k)))).mean() for k in rows[:most]])))


def _tokens(pictures: np.ndarray, patch: int) -> Tensor:
    return folded(torch.from_numpy(np.ascontiguousarray(pictures, np.float32)), patch)
