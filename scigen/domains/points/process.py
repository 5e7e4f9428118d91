"""The noise of shapes: positions and features, one affine process and one log-SNR for both, in units of variance one.

Shapes stand in the frame of their bounding sphere and in a known pose, so positions keep their place: neither the
process nor the network removes the centre of mass (a completion must be free to move it). What is divided out is one
number a field, its root mean square over the training set, so that rotations still act on positions and on vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser, Network
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.state import State, Time, expand

__all__ = ["LOGSNR_RANGE", "Scale", "blank", "joined", "shape_denoiser", "shape_process"]

LOGSNR_RANGE = (-10.0, 10.0)
_TOKENS = ("start", "given")  # fields of positions and features side by side


@dataclass(frozen=True)
class Scale:
    """Root mean square of a coordinate of each field: what lies between stored numbers and those of unit variance."""

    pos: float
    feat: float = 1.0

    @classmethod
    def of(cls, x: State) -> Scale:
        """Measured over the real tokens of `x`. Raises ValueError when a field is zero or not finite."""
        rms = {name: float(x[name][x.mask].double().square().mean().sqrt()) for name in ("pos", "feat") if name in x}
        for name, value in rms.items():
            if not 0 < value < float("inf"):
                raise ValueError(f"`{name}` has the root mean square {value}; data to learn from vary and are finite.")
        return cls(**rms)

    def enter(self, x: State) -> State:
        """Positions and features, those in `start` and `given` too, in units of variance one."""
        return _multiplied(x, 1 / self.pos, 1 / self.feat)

    def leave(self, x: State) -> State:
        """Back to stored units."""
        return _multiplied(x, self.pos, self.feat)


def shape_process(affine: Affine, fields: tuple[str, ...] = ("pos", "feat")) -> Product:
    """The same `affine` on every field; padding stays zero. Raw clouds have the field `pos` alone."""
    return Product(dict.fromkeys(fields, affine), _without_padding(fields))


def shape_denoiser(network: Network, process: Product, logsnr_range: tuple[float, float] = LOGSNR_RANGE) -> Denoiser:
    """Belief of a network about every field of `shape_process`, under any affine process.

    The fields are shown divided by the standard deviation of x_t; the conditioning is clamped to the levels trained on.
    """
    affine = next(iter(process.parts.values()))
    assert isinstance(affine, Affine), "every field is noised by one affine process"

    def denoise(x_t: State, t: Time, previous: Belief | None = None) -> Belief:
        seen = x_t.replace(**{name: x_t[name] / expand(affine.scale(t), x_t[name]) for name in process.parts})
        logsnr = affine.logsnr(t).clamp(*logsnr_range).to(x_t["pos"])
        return network(seen, logsnr.expand(len(x_t.mask)), None)

    return denoise


def blank(
    count: int, tokens: int, features: int | None = None, device: torch.device | str = "cpu", **carried: Tensor
) -> State:
    """`count` empty shapes of `tokens` points to draw a source into; `features` None for raw clouds."""
    fields = {"pos": torch.zeros(count, tokens, 3, device=device), **carried}
    if features is not None:
        fields["feat"] = torch.zeros(count, tokens, features, device=device)
    return State(fields, torch.ones(count, tokens, dtype=torch.bool, device=device))


def joined(x: State) -> Tensor:
    """Position and feature of every token side by side, `[B, K, 3 + F]`: how `start` and `given` are carried."""
    return torch.cat([x["pos"], x["feat"]], -1)


def _without_padding(fields: tuple[str, ...]) -> Callable[[State], State]:
    return lambda x: x.replace(**{name: x[name] * x.mask[..., None] for name in fields})


def _multiplied(x: State, pos: float, feat: float) -> State:
    alone = {name: x[name] * factor for name, factor in (("pos", pos), ("feat", feat)) if name in x}
    tokens = {name: torch.cat([x[name][..., :3] * pos, x[name][..., 3:] * feat], -1) for name in _TOKENS if name in x}
    return x.replace(**alone, **tokens)
