"""Training batches of molecules: the whole set as dense tensors, drawn in buckets of like size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from scigen.domains.epochs import place
from scigen.domains.molecules.codec import encode
from scigen.domains.molecules.data import MoleculeSet
from scigen.state import State

__all__ = ["Batches"]

BUCKET = 32  # batches that are sorted together: padding falls to a few per cent, and order stays nearly random


@dataclass(frozen=True)
class Batches:
    """A whole set in memory, and batches of it; each is a function of (seed, rank, world, step) alone."""

    pos: Tensor  # [M, N, 3] float32
    atom: Tensor  # [M, N] uint8
    bond: Tensor  # [M, N, N] uint8
    sizes: np.ndarray  # [M]
    batch: int
    seed: int
    shuffled: dict[int, np.ndarray] = field(default_factory=dict)  # the current epoch's order, by epoch

    @classmethod
    def of(cls, data: MoleculeSet, batch: int, seed: int, device: str = "cpu") -> Batches:
        """Encode the whole set once; 84 MB of bonds for QM9's 100,000 training molecules."""
        sizes = data.sizes()
        chunks = []
        for start in range(0, len(data), 4096):
            stop = min(start + 4096, len(data))
            x = encode([data[k] for k in range(start, stop)], pad_to=int(sizes.max()))
            chunks.append((x["pos"], x["atom"].byte(), x["bond"].byte()))
        pos, atom, bond = (torch.cat(part).to(device) for part in zip(*chunks, strict=True))
        return cls(pos, atom, bond, sizes, batch, seed)

    def at(self, step: int, rank: int = 0, world: int = 1) -> State:
        """The batch of one rank at one step."""
        return self.take(self.rows(step, rank, world))

    def rows(self, step: int, rank: int = 0, world: int = 1) -> np.ndarray:
        """Which molecules that batch holds."""
        epoch, position = place(step, len(self.sizes), self.batch * world, "molecules")
        if epoch not in self.shuffled:
            self.shuffled.clear()
            self.shuffled[epoch] = self.order(epoch)
        return self.shuffled[epoch][position * world + rank]

    def take(self, rows: np.ndarray) -> State:
        """These molecules, padded to the largest of them."""
        n = int(self.sizes[rows].max())
        index = torch.from_numpy(rows).to(self.pos.device)
        fields = {
            "pos": self.pos[index, :n],
            "atom": self.atom[index, :n].long(),
            "bond": self.bond[index, :n, :n].long(),
        }
        size = torch.from_numpy(self.sizes[rows]).to(self.pos.device)
        return State(fields, torch.arange(n, device=size.device)[None] < size[:, None])

    def order(self, epoch: int) -> np.ndarray:
        """Rows of every batch of an epoch, `[batches, batch]`: shuffled, sorted by size in buckets, shuffled again."""
        rng = np.random.default_rng([self.seed, epoch])
        count = len(self.sizes) // self.batch
        rows = rng.permutation(len(self.sizes))[: count * self.batch]
        wide = BUCKET * self.batch
        groups = [rows[i : i + wide] for i in range(0, len(rows), wide)]
        sorted_rows = np.concatenate([g[np.argsort(self.sizes[g], kind="stable")] for g in groups])
        return rng.permutation(sorted_rows.reshape(count, self.batch))
