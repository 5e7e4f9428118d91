"""Training batches of clouds: packed points in memory, of which every step sees two samples that share no point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scigen.domains.epochs import rows_at
from scigen.domains.shapes.pack import PackedShapes
from scigen.errors import InputError

__all__ = ["INPUTS", "TARGETS", "CloudBatches", "Oriented", "augmented"]

TARGETS = 2048
INPUTS = (2048, 2048, 1024, 512)  # points the encoder sees, one of these a step: scans come in any density


@dataclass(frozen=True)
class Oriented:
    """Points `[B, N, 3]` in the unit frame and their unit normals."""

    points: Tensor
    normals: Tensor


@dataclass(frozen=True)
class CloudBatches:
    """Packed clouds, two samples of the same shapes at a step."""

    points: np.ndarray  # [M, P, 3] float16 or float32, in no order
    normals: np.ndarray  # [M, P, 3] int8 or float32, of any length
    batch: int
    seed: int
    device: str = "cpu"

    @classmethod
    def of(cls, sets: Sequence[PackedShapes], batch: int, seed: int, device: str = "cpu") -> CloudBatches:
        """The training shapes of these collections that hold two samples and normals; `InputError` when there are none.

        Packed points are in random order, so the first P, as many as the shortest row has, are a sample of them all.
        """
        wanted = TARGETS + max(INPUTS)
        kept = []
        for shapes in sets:
            rows = shapes.where("train")
            if shapes.normals is not None and shapes.points.shape[1] >= wanted:
                whole = (shapes.size[rows] >= wanted) & shapes.normals[rows].any((1, 2))
                kept.append(shapes.subset(rows[whole]))
        if not sum(map(len, kept)):
            held = ", ".join(f"'{shapes.name}' up to {shapes.points.shape[1]}" for shapes in sets)
            raise InputError(f"No training shape has normals and the {wanted} points that two samples take ({held}).")
        width = min(int(shapes.size.min()) for shapes in kept if len(shapes))
        points, normals = (
            np.concatenate([getattr(shapes, name)[:, :width] for shapes in kept]) for name in ("points", "normals")
        )
        return cls(points, normals, batch, seed, device)

    def at(self, step: int, rank: int = 0, world: int = 1) -> tuple[Oriented, Oriented]:
        """What the encoder sees and what the decoder must meet: two samples of the same shapes."""
        rng = np.random.default_rng([self.seed, 1, step])  # all workers see as many points: none waits for another
        seen = INPUTS[rng.integers(len(INPUTS))]
        order = rng.permutation(self.points.shape[1])
        rows = self.rows(step, rank, world)
        return self._take(rows, order[:seen]), self._take(rows, order[seen : seen + TARGETS])

    def rows(self, step: int, rank: int = 0, world: int = 1) -> np.ndarray:
        """Which shapes that batch holds."""
        return rows_at(step, rank, world, self.batch, len(self.points), (self.seed, 0))

    def _take(self, rows: np.ndarray, columns: np.ndarray) -> Oriented:
        points, normals = (
            torch.from_numpy(x[rows[:, None], columns].astype(np.float32)).to(self.device)
            for x in (self.points, self.normals)
        )
        return Oriented(points, torch.nn.functional.normalize(normals, dim=-1))


def augmented(clouds: tuple[Oriented, ...], rng: torch.Generator) -> tuple[Oriented, ...]:
    """The same mirror in x and stretch of each axis by .9 to 1.1, drawn per shape, for all samples of a batch.

    Normals turn by the inverse: n ~ n / s.
    """
    size = (len(clouds[0].points), 1, 3)
    stretch = 0.9 + 0.2 * torch.rand(size, generator=rng, device=rng.device)
    side = torch.rand(size[:1], generator=rng, device=rng.device) < 0.5
    stretch[side, 0, 0] *= -1
    return tuple(
        Oriented(c.points * stretch, torch.nn.functional.normalize(c.normals / stretch, dim=-1)) for c in clouds
    )
