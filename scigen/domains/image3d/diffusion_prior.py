"""Our own prior: views drawn by diffusion under a picture, or its one best guess by the same network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from scigen.denoiser import Denoiser, from_network
from scigen.domains.image3d.prior import RetrievalPrior
from scigen.domains.image3d.rig import CUBE, CameraRig
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.tokens import CHANNELS, folded, picture_tokens, unfolded, view_channels, views_of
from scigen.domains.image3d.views import Views
from scigen.domains.image3d.views_task import LOGSNR_RANGE, SPARE
from scigen.errors import InputError
from scigen.guidance.free import cfg
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.solver.grids import shared, uniform
from scigen.solver.loop import Solver, sample
from scigen.state import State, generator

__all__ = ["DiffusionPrior", "Draws"]


@dataclass(frozen=True)
class Draws:
    """How views are drawn: the process, the solver, intervals, and the weight of the picture (1: as it is).

    `solver` None is the regression: one evaluation, no noise, one answer.
    """

    affine: Affine
    solver: Solver | None
    steps: int = 30
    grid: Callable[[int], list[float]] = uniform
    guidance: float = 1.0


@dataclass(frozen=True)
class DiffusionPrior:
    """A network of `nn.multiview`, its scale (on its card), and how to draw; views of the cube rig.

    One that was trained beside neighbours needs a `memory` to find them in; draw i begins at the i-th nearest.
    """

    network: nn.Module
    scale: float
    draws: Draws
    device: str = "cpu"
    memory: RetrievalPrior | None = None

    @property
    def rig(self) -> CameraRig:
        """The cube."""
        return CUBE

    @property
    def pixels(self) -> int:
        """Those of the network."""
        config: Any = self.network.config
        return config.pixels

    @torch.inference_mode()
    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]:
        """`k` draws, draw i from a generator of its own; one, whatever k, of the regression.

        Raises InputError for a picture of another size than the network's.
        """
        c: Any = self.network.config
        count = k if self.draws.solver else 1
        given = picture_tokens(subject, c.pixels, c.patch).expand(count, -1, -1)
        view = torch.zeros(count, c.views * c.cells, c.patch**2 * CHANNELS)
        told = {"given": given} if self.memory is None else {"given": given, "near": self._near(subject, count)}
        like = State({"view": view, **told}, torch.ones(view.shape[:2], dtype=torch.bool))
        like, network = like.map(lambda x: x.to(self.device)), self.network.to(self.device)
        if self.draws.solver is None:
            belief = network(like, torch.full((1,), LOGSNR_RANGE[0], device=self.device), None)
        else:
            process, rng = Product({"view": self.draws.affine}), [generator(seed, i) for i in range(count)]
            grid, noise = shared(self.draws.affine, self.draws.grid(self.draws.steps)), process.source(like, rng)
            _, belief = sample(process, self._denoiser(process), noise, grid, rng, self.draws.solver)
        channels = unfolded(self.scale * belief["view"].cpu(), c.patch, c.pixels).numpy()
        return [views_of(np.asarray(one), self.rig) for one in channels]

    def _near(self, subject: Subject, count: int) -> torch.Tensor:
        """The views of neighbours, `[count, V G^2, M P^2 C]`."""
        c: Any = self.network.config
        assert self.memory is not None
        found = self.memory.sample(subject, c.near + SPARE)
        if len(found) < c.near:
            raise InputError(f"the network looks at {c.near} neighbours and the memory holds {len(found)}; add shapes.")
        tokens = [folded(torch.from_numpy(view_channels(one) / self.scale)[None], c.patch) for one in found]
        starts = [i % (len(found) - c.near + 1) for i in range(count)]
        return torch.cat([torch.cat(tokens[first : first + c.near], -1) for first in starts])

    def _denoiser(self, process: Product) -> Denoiser:
        conditional = from_network(self.network, self.draws.affine, "view", 1.0, LOGSNR_RANGE)
        if self.draws.guidance == 1:
            return conditional

        def unconditional(x_t: State, t: Any, previous: Any = None) -> Any:
            return conditional(State({"view": x_t["view"]}, x_t.mask), t, previous)

        return cfg(conditional, unconditional, process, self.draws.guidance)
