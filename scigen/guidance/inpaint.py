"""Inpainting: hold a known part of a sample and draw the rest around it.

At every level the known part is noised afresh, x_s^known ~ q(x_s | x0), and the rest takes the solver's move. That
alone is biased: the rest was moved before it saw the known part of its own level. Going back up, x_t ~ q(x_t | x_s),
and down again lets the two settle. RePaint, Lugmayr et al. 2022, arXiv:2201.09865.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.process.transition import TokenProcess
from scigen.solver.loop import Memory, Solver, ancestral
from scigen.state import Rng, Time, as_time, expand, normal

__all__ = ["hold", "inpaint", "jumps", "known_belief", "renoise"]


def inpaint(
    process: Any,
    denoise: Denoiser,
    x: Any,
    times: Iterable[float],
    rng: Rng,
    known: Any,
    where: Any,
    solver: Solver = ancestral,
    loose: Mapping[str, float] | None = None,
) -> tuple[Any, Belief]:
    """Run the source `x` down `times` (a grid, or `jumps` of one) with x0 = `known` held on `where`.

    On tensors `where` is boolean and leads the shape of `known`, `[B, N]` for `[B, N, ...]`; on a `State` it maps field
    names to node masks `[B, N]` or symmetric pair masks `[B, N, N]`, and fields it does not name are free.

    `loose` names the centred fields, each with the time from which its known part is a shape and no longer a place.
    Above it `known` also holds the centroid of the free nodes, which move there as one; below it the known part moves
    to the centroid it has in the sample. Nothing is turned: the fragment sets the frame. A network settles the place
    at high noise, before it sees the shape, so give it when there is any idea of it.

    Returns the last state and belief, both with the known part in place. Raises ValueError for a process without a
    forward move, for fewer than two times, and for masks of fields that the process does not have.
    """
    times = [float(t) for t in times]
    if len(times) < 2:
        raise ValueError(f"`times` needs at least two times, from the source down to the data, got {times}.")
    loose = loose or {}
    _check(process, where, loose)
    denoise = known_belief(process, denoise, known, where, loose)
    x = hold(process, x, times[0], rng, known, where, loose)
    memory: Memory | None = None
    belief: Belief = None
    for t, s in pairwise(times):
        if s > t:
            x, memory = renoise(process, x, t, s, rng), None  # a belief formed below would bring its decisions along
            continue
        x, memory = solver(process, denoise, x, t, s, rng, memory)
        x, belief = hold(process, x, s, rng, known, where, loose), memory.belief
    return x, belief


def jumps(grid: Iterable[float], repeats: int, length: int = 1) -> list[float]:
    """The times of RePaint: `grid` with every stretch of `length` intervals walked down `repeats` times.

    Stretches are counted from the last noisy level. None goes up from the data, where a mean belief has lost its
    spread, nor up to the source, which forgets all. N intervals take N + (repeats - 1) length floor((N - 2) / length)
    moves down. Raises ValueError for counts below one.
    """
    grid = list(grid)
    if repeats < 1 or length < 1:
        raise ValueError(f"`repeats` and `length` must be at least 1, got {repeats} and {length}; 10 and 1 are usual.")
    ends = set(range(len(grid) - 2, length, -length))
    times = []
    for i, t in enumerate(grid):
        times.append(t)
        if i in ends:
            times += grid[i - length : i + 1] * (repeats - 1)
    return times


def renoise(process: Any, x_s: Any, s: Time, t: Time, rng: Rng) -> Any:
    """Exact draw of the forward move q(x_t | x_s), s < t.

    Affine: (alpha_t / alpha_s) x_s + sigma_t sqrt(1 - e^(logsnr_t - logsnr_s)) z. Tokens: the process itself with
    keep_t / keep_s for its keep. On a `Product`, field by field.
    """
    if isinstance(process, Product):
        return process.each(lambda name, part: renoise(part, x_s[name], s, t, rng), x_s)
    if isinstance(process, Affine):
        fresh = process.sigma(t) * (-torch.expm1(process.logsnr(t) - process.logsnr(s))).sqrt()
        return expand(process.alpha(t) / process.alpha(s), x_s) * x_s + expand(fresh, x_s) * normal(x_s, rng)
    if isinstance(process, TokenProcess):
        stay = process.keep(as_time(t)) / process.keep(as_time(s))
        return replace(process, keep=lambda _: stay).noise(x_s, process.source(x_s, rng), t, rng)
    raise ValueError(f"{type(process).__name__} has no forward move here; use Affine, tokens or a Product of them.")


def hold(process: Any, x: Any, t: Time, rng: Rng, known: Any, where: Any, loose: Mapping[str, float]) -> Any:
    """`x` at time t with its known part drawn afresh from q(x_t | x0 = known); arguments as in `inpaint`."""
    if not isinstance(process, Product):
        return _paint(x, _noised(process, known, t, rng), where)
    # Noise is projected with its state: about a centred place it has the centred law.
    noised = process.each(lambda name, part: _noised(part, known[name], t, rng), known)
    return process.each(
        lambda name, part: (
            _meet(x[name], noised[name], where[name], x.mask, t, loose.get(name)) if name in where else x[name]
        ),
        x,
    )


def known_belief(process: Any, denoise: Denoiser, known: Any, where: Any, loose: Mapping[str, float]) -> Denoiser:
    """`denoise` whose belief about the known part is the known part; arguments as in `inpaint`.

    Moves act on each entry alone, so the rest of x_s is as before, but a self-conditioned network sees what is known,
    and the last belief, which is what gets decoded, holds it.
    """

    def certain(part: FieldProcess, x0: Tensor, belief: Tensor) -> Tensor:
        return (x0 if isinstance(part, Affine) else torch.nn.functional.one_hot(x0, belief.shape[-1])).to(belief)

    def filled(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        belief = denoise(x_t, t, previous)
        if not isinstance(process, Product):
            return _paint(belief, certain(process, known, belief), where)
        held = {}
        for name, mask in where.items():
            x0 = certain(process.parts[name], known[name], belief[name])
            held[name] = _meet(belief[name], x0, mask, x_t.mask, t, loose.get(name))
        return {**belief, **held}

    return filled


def _check(process: Any, where: Any, loose: Mapping[str, float]) -> None:
    masks = where if isinstance(process, Product) else {"x": where}
    parts = process.parts if isinstance(process, Product) else {"x": process}
    if odd := sorted({*masks, *loose} - set(parts)) or sorted(set(loose) - set(masks)):
        raise ValueError(f"`where` and `loose` name `{odd[0]}`, and held fields are of {', '.join(parts)}.")
    if odd := [name for name, mask in masks.items() if mask.dtype != torch.bool]:
        raise ValueError(f"The mask `where` of {odd[0]} must be boolean, got {masks[odd[0]].dtype}.")
    if odd := [type(part).__name__ for part in parts.values() if not isinstance(part, Affine | TokenProcess)]:
        raise ValueError(f"{odd[0]} cannot be noised without its source points; inpaint under Affine or tokens.")


def _noised(part: FieldProcess, x0: Tensor, t: Time, rng: Rng) -> Tensor:
    """A draw of q(x_t | x0). Affine noise has unit variance, which its `source`, sigma(1) z, has not."""
    x1 = normal(x0, rng) if isinstance(part, Affine) else part.source(x0, rng)
    return part.noise(x0, x1, t, rng)


def _meet(x: Tensor, known: Tensor, where: Tensor, nodes: Tensor, t: Time, place_until: float | None) -> Tensor:
    """`x` with `known` on `where`; in a centred field (`place_until` given) one of the two moves as a whole."""
    if place_until is None:
        return _paint(x, known, where)
    if float(t) > place_until:
        return _paint(_moved(x, known, nodes & ~where), known, where)
    return _paint(x, _moved(known, x, where), where)


def _moved(x: Tensor, to: Tensor, over: Tensor) -> Tensor:
    """The nodes `over [B, N]` of x `[B, N, D]` shifted as one, so that their centroid is that of `to`."""
    weight = over[..., None].to(x)
    return x + weight * ((to - x) * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)


def _paint(x: Tensor, known: Tensor, where: Tensor) -> Tensor:
    return torch.where(where.reshape(*where.shape, *[1] * (x.dim() - where.dim())), known, x)
