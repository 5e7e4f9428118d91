"""Views of the shapes that a picture's latent points decode to: a prior in three dimensions beside those in two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from scigen.domains.image3d.render import render
from scigen.domains.image3d.rig import CUBE, CameraRig
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.tokens import picture_tokens
from scigen.domains.image3d.views import Views
from scigen.domains.points.process import Scale, blank
from scigen.domains.points.sampler import Drawn, Plan, noised_belief, split
from scigen.errors import NumericError
from scigen.io.shape import Mesh
from scigen.state import State, generator

__all__ = ["LatentPrior"]


@dataclass(frozen=True)
class LatentPrior:
    """A network of `nn.picture_latents`, the scale of its latents (on its card), how to draw `tokens` of them, and what
    decodes them to a mesh in the unit frame.
    """

    network: nn.Module
    scale: Scale
    plan: Plan
    tokens: int
    decode: Callable[[State], Mesh]
    device: str = "cpu"

    @property
    def rig(self) -> CameraRig:
        """The cube, from which the meshes are looked at."""
        return CUBE

    @property
    def pixels(self) -> int:
        """Those of the network."""
        config: Any = self.network.config
        return config.pixels

    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]:
        """`k` draws, draw i from a generator of its own; one that has no surface is views of nothing.

        Raises InputError for a picture of another size than the network's.
        """
        c: Any = self.network.config
        picture = picture_tokens(subject, c.pixels, c.patch).expand(k, -1, -1).to(self.device)
        like = blank(k, self.tokens, c.features, self.device, picture=picture)
        rng = [generator(seed, i) for i in range(k)]
        drawn = noised_belief(self.network.to(self.device), self.plan, like, rng)
        return [self._seen(one) for one in split(self.scale.leave(drawn), range(k))]

    def _seen(self, one: Drawn) -> Views:
        n = self.pixels
        try:
            if one.shape is None:
                raise NumericError(str(one.reason))
            return render(self.decode(one.shape), CUBE, n)
        except (NumericError, ValueError):
            shape = (len(CUBE), n, n)
            nothing = np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32)
            return Views(CUBE, *nothing, np.full(shape, CUBE.radius, np.float32))
