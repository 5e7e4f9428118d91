"""Shapes as stored latent points, with what they are conditioned on, and batches of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scigen.domains.epochs import rows_at
from scigen.errors import InputError
from scigen.io.npz import read_npz, write_npz
from scigen.state import State

__all__ = ["LatentBatches", "assigned", "load_latents", "matched", "observation", "save_latents"]

_FIELDS = {
    "pos": np.float32, "feat": np.float32, "category": np.int64, "shape": np.int64, "given": np.float32,
    "given_mask": np.bool_, "frame": np.float64,
}  # fmt: skip


def save_latents(path: Path, x: State, categories: Sequence[str] = ()) -> None:
    """Write `pos [M, K, 3]`, `feat [M, K, F]` and the mask; of the others in `_FIELDS` what there is."""
    arrays = {name: x[name].cpu().numpy() for name in _FIELDS if name in x}
    write_npz(path, {**arrays, "mask": x.mask.cpu().numpy(), "categories": np.array(categories, dtype=np.str_)})


def load_latents(path: Path) -> tuple[State, tuple[str, ...]]:
    """What `save_latents` wrote, and the names of the categories. Raises `InputError` when the file is none."""
    arrays = read_npz(path)
    if missing := {"pos", "feat", "mask"} - set(arrays):
        raise InputError(f"'{path}' lacks {', '.join(sorted(missing))}: no latent points; encode shapes first.")
    shape = arrays["pos"].shape[:-1]
    if len(shape) != 2 or arrays["feat"].shape[:-1] != shape or arrays["mask"].shape != shape:
        raise InputError(f"'{path}': `pos`, `feat` and `mask` differ in shapes or tokens; encode the shapes again.")
    fields = {name: torch.from_numpy(arrays[name].astype(kind)) for name, kind in _FIELDS.items() if name in arrays}
    if any(len(x) != shape[0] for x in fields.values()) or ("given" in fields) != ("given_mask" in fields):
        raise InputError(f"'{path}': what the shapes are conditioned on is not there for each; encode them again.")
    names = tuple(str(name) for name in arrays.get("categories", ()))
    return State(fields, torch.from_numpy(arrays["mask"].astype(bool))), names


def observation(x: State) -> State:
    """The tokens that shapes are given, as latents of their own: the partial clouds of stored pairs."""
    pos, feat = x["given"].split([3, x["given"].shape[-1] - 3], -1)
    return State({"pos": pos, "feat": feat}, x["given_mask"])


@dataclass(frozen=True)
class LatentBatches:
    """Stored latents, a batch of one rank at a step."""

    x: State
    batch: int
    seed: int

    def __len__(self) -> int:
        return len(self.x.mask)

    def at(self, step: int, rank: int = 0, world: int = 1) -> State:
        """The batch of one rank at one step. Raises `InputError` when the set is smaller than a batch."""
        rows = torch.tensor(rows_at(step, rank, world, self.batch, len(self), (self.seed,))).to(self.x.mask.device)
        return self.x.map(lambda v: v[rows])

    def content_hash(self) -> str:
        """SHA-256 over every field."""
        digest = hashlib.sha256()
        for name in sorted(self.x.fields):
            digest.update(name.encode() + self.x[name].cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def matched(x: State, target: Tensor) -> State:
    """The tokens of x in the order that brings their positions closest to `target [B, K, 3]`, row for row (`assigned`).

    All of `pos` and `feat` moves. A latent shape is a set, so its law does not change.
    """
    order = assigned(x, target)
    rows = torch.arange(len(order), device=order.device)[:, None]
    return x.replace(**{name: x[name][rows, order] for name in ("pos", "feat")})


def assigned(x: State, target: Tensor) -> Tensor:
    """argmin over permutations p of sum |x_p(i) - target_i|^2 over real tokens, exact: `[B, K]`."""
    from scipy.optimize import linear_sum_assignment

    order = torch.arange(x.mask.shape[1], device=x.mask.device).repeat(len(x.mask), 1)
    cost = torch.cdist(target.double(), x["pos"].double(), compute_mode="donot_use_mm_for_euclid_dist").square().cpu()
    for k, n in enumerate(x.sizes.tolist()):
        order[k, :n] = torch.from_numpy(linear_sum_assignment(cost[k, :n, :n].numpy())[1]).to(order)
    return order
