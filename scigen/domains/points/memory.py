"""What a bridge remembers: training pairs of scan and whole, so that a completion may set out from one like its own.

A scan is found again by the positions of its latent points alone: features depend on whether it came with normals, and
positions hardly do. First by the density of the points, blurred and expanded in plane waves (a distance of two such
vectors is that of two densities, by Parseval; so all are compared in one product of matrices); then the `SHORTLIST`
nearest in the order of

    mean_i min_j |a_i - b_j|^2 + mean_j min_i |a_i - b_j|^2 + mean_i min_j |a_i - c_j|^2,

the Chamfer distance of the scan a and a remembered one b, and how far a lies from the remembered whole c. The shortlist
of a search among 6,144 pairs holds 96 % of its true four nearest. Everything is in units of variance one (`Scale`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from scigen.domains.points.bridge import Start
from scigen.state import State

__all__ = [
    "AROUND", "SHORTLIST", "Memory", "apart", "chosen", "memorised", "packed", "recall", "remembered", "unpacked",
    "waves",
]  # fmt: skip

AROUND = 4  # remembered wholes that draws set out from, in turn
SHORTLIST = 64  # pairs whose tokens are compared one by one
_TOGETHER = 256  # scans searched for at once
_PERIOD, _WAVES, _BLUR = 7.0, 4, 0.25  # of the expansion: box, highest harmonic, width of the blur; a scan is 4.6 wide
_BYTES = ("scan", "feat")  # fields kept in a byte a number


@dataclass(frozen=True)
class Memory:
    """M pairs: positions `scan [M, K, 3]` of the tokens of scans, `pos [M, K, 3]` and `feat [M, K, F]` of the wholes,
    in the frames of their scans.
    """

    scan: Tensor
    pos: Tensor
    feat: Tensor

    def __len__(self) -> int:
        return len(self.scan)

    def whole(self, rows: Tensor) -> State:
        """The wholes at `rows [B]`."""
        mask = torch.ones(len(rows), self.pos.shape[1], dtype=torch.bool)
        return State({"pos": self.pos[rows], "feat": self.feat[rows]}, mask)


def chosen(shape: np.ndarray, category: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of at most `count` pairs to remember, ascending: one of a shape, in turn from every category.

    `shape [M]` and `category [M]` tell of what each pair is; only the seed decides which of them.
    """
    rows = np.random.default_rng(seed).permutation(len(shape))
    rows = rows[np.sort(np.unique(shape[rows], return_index=True)[1])]
    piles = [rows[category[rows] == one] for one in np.unique(category)]
    turn = np.concatenate([np.arange(len(pile)) for pile in piles])
    return np.sort(np.concatenate(piles)[np.argsort(turn, kind="stable")[:count]])


def memorised(pairs: State, rows: np.ndarray) -> Memory:
    """The memory of some pairs. Raises ValueError where a token is padding: codecs make as many of every shape."""
    if not (pairs.mask.all() and pairs["given_mask"].all()):
        raise ValueError("a memory holds shapes of one number of latent points; some of these have fewer.")
    at = torch.from_numpy(rows)
    return Memory(pairs["given"][at][..., :3], pairs["pos"][at], pairs["feat"][at])


def packed(memory: Memory) -> dict[str, Tensor]:
    """The memory as small tensors: features and scans in a byte a number with a step per channel, positions in float16.

    A byte is off by half a step, max|x| / 254 of its channel.
    """
    steps = {name: getattr(memory, name).abs().amax((0, 1)).clamp(min=1e-12) / 127 for name in _BYTES}
    small = {name: (getattr(memory, name) / step).round().to(torch.int8) for name, step in steps.items()}
    return small | {f"{name}_step": step for name, step in steps.items()} | {"pos": memory.pos.half()}


def unpacked(tensors: Mapping[str, Tensor]) -> Memory:
    """The memory that was `packed`. Raises ValueError when the tensors are none."""
    kinds = {"scan": torch.int8, "feat": torch.int8, "pos": torch.float16}
    kinds |= {f"{name}_step": torch.float32 for name in _BYTES}
    found = {name: x.dtype for name, x in tensors.items()}
    if found != kinds:
        odd = sorted(name for name in kinds | found if kinds.get(name) != found.get(name))
        raise ValueError(f"its tensors {', '.join(odd)} are missing, too many or of another type")
    wide = {name: tensors[name].float() * tensors[f"{name}_step"] for name in _BYTES} if _fit(tensors) else {}
    if not wide or not all(x.isfinite().all() for x in (*wide.values(), tensors["pos"])):
        raise ValueError("its tensors do not fit together or are not finite")
    return Memory(wide["scan"], tensors["pos"].float(), wide["feat"])


def recall(memory: Memory, scans: Tensor, count: int, own: Tensor | None = None) -> Tensor:
    """Rows `[B, min(count, M)]` of the pairs most like `scans [B, N, 3]`, best first.

    `own [B]` is the pair that a scan must not find, its shape's own, and -1 where there is none; there must be one
    pair more than `count` then.
    """
    known = waves(memory.scan)
    near = []
    for begin in range(0, len(scans), _TOGETHER):
        some = scans[begin : begin + _TOGETHER].float().cpu()
        unlike = torch.cdist(waves(some), known)
        if own is not None:
            barred = own[begin : begin + _TOGETHER]
            unlike[torch.nonzero(barred >= 0)[:, 0], barred[barred >= 0]] = torch.inf
        short = unlike.topk(min(SHORTLIST, len(memory)), largest=False)
        away = apart(some[:, None], memory.scan[short.indices], memory.pos[short.indices])
        away = torch.where(short.values.isfinite(), away, torch.inf)
        near.append(short.indices.gather(1, away.topk(min(count, len(memory)), largest=False).indices))
    return torch.cat(near)


def remembered(memory: Memory, poses: int = 1) -> Start:
    """Draws set out from the wholes recalled for the scan, in turn: draw k from the k-th, after `AROUND` from the
    first again. Each draw of a cloud is a row of the state, so row k is draw k. Where the scan comes in several
    `poses`, row after row, each sets out from the first before any from the second.
    """

    def begin(partial: State) -> State:
        near = recall(memory, partial["pos"], AROUND)
        each = torch.arange(len(near)) // poses
        found = memory.whole(near[torch.arange(len(near)), each % near.shape[1]])
        return State(
            {name: x.to(partial[name]) for name, x in found.fields.items()}, found.mask.to(partial.mask.device)
        )

    return begin


def _fit(tensors: Mapping[str, Tensor]) -> bool:
    """Whether shapes agree: [M, K, 3], [M, K, 3] and [M, K, F], and a step for each channel."""
    scan, pos, feat = (tensors[name] for name in ("scan", "pos", "feat"))
    steps = all(tensors[f"{name}_step"].shape == tensors[name].shape[-1:] for name in _BYTES)
    return steps and scan.shape == pos.shape == (*feat.shape[:-1], 3) and pos.dim() == 3 and pos.numel() > 0


def waves(pos: Tensor) -> Tensor:
    """Blurred densities of clouds `[B, N, 3]` as coefficients of plane waves `[B, 256]`, of k and -k only one."""
    span = range(-_WAVES, _WAVES + 1)
    half = [k for k in product(span, span, span) if k > (0, 0, 0) and math.hypot(*k) <= _WAVES]
    k = torch.tensor(half, dtype=pos.dtype) * (2 * math.pi / _PERIOD)
    weight = torch.exp(-k.square().sum(1) * _BLUR**2 / 2)
    parts = []
    for some in pos.split(_TOGETHER):
        phase = some @ k.T
        parts.append(torch.cat([phase.cos().mean(1) * weight, phase.sin().mean(1) * weight], -1))
    return torch.cat(parts)


def apart(scans: Tensor, known: Tensor, wholes: Tensor) -> Tensor:
    """How far scans `[..., N, 3]` are from remembered pairs, `known` and `wholes [..., K, 3]`: `[...]`."""
    between, beyond = (_squares(scans, x) for x in (known, wholes))
    return between.amin(-1).mean(-1) + between.amin(-2).mean(-1) + beyond.amin(-1).mean(-1)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2, `[..., N, K]`."""
    return a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :] - 2 * a @ b.transpose(-1, -2)
