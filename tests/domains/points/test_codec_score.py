"""What a codec loses: the floor is the closed form, and a codec that copies sits on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from scigen.domains.points.codec_score import reconstruct
from scigen.io.shape import Cloud
from scigen.state import State
from tests.domains.points.solids import packed

SPHERES = packed(3, 2048)
RNG = np.random.default_rng(0)


@dataclass
class Copies:
    """Stands for a codec: it keeps what it sees, moved by `step` along the normals, every point `times` times."""

    step: float = 0.0
    times: int = 1
    points: int = 1024

    def encode_all(self, clouds: list[Cloud]) -> State:
        self.clouds = clouds
        return State({"pos": torch.zeros(len(clouds), 1, 3)}, torch.ones(len(clouds), 1, dtype=torch.bool))

    def decode(self, latents: State) -> list[Cloud]:
        every = slice(None, None, self.times)
        return [
            Cloud(
                (c.points + self.step * c.normals)[every].repeat(self.times, 0), c.normals[every].repeat(self.times, 0)
            )
            for c in self.clouds
        ]


def test_a_copy_sits_on_the_floor() -> None:
    found = reconstruct(Copies(), SPHERES, RNG)
    assert np.allclose(found.ratio, 1) and np.allclose(found.spread, 1) and found.normal.min() > 0.97
    # 0.5 sqrt(area / n) with the largest and smallest area an ellipsoid of these axes has
    low, high = (0.5 * (4 * np.pi * axis**2 / 1024) ** 0.5 for axis in (0.2, 0.5))
    assert (low < found.floor).all() and (found.floor < high).all()


def test_what_is_off_the_surface_and_what_clumps_is_told_apart() -> None:
    off, clumped = reconstruct(Copies(step=0.03), SPHERES, RNG), reconstruct(Copies(times=2), SPHERES, RNG)
    assert off.ratio.min() > 1.4 and np.allclose(off.spread, 1, atol=0.25)
    assert clumped.spread.max() == 0 and 1.05 < clumped.ratio.min() < clumped.ratio.max() < 1.4


def test_shapes_that_cannot_be_compared_are_refused() -> None:
    for shapes in (packed(2, 1024), packed(2, 2048, normals=False)):
        with pytest.raises(ValueError, match="two samples of 1024 points with normals"):
            reconstruct(Copies(), shapes, RNG)
