"""Drawing shapes as latent points or raw points: one generator per sample, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from scigen.denoiser import Denoiser
from scigen.domains.points.process import Scale, blank, shape_denoiser, shape_process
from scigen.guidance.free import cfg
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.solver.grids import shared, uniform
from scigen.solver.loop import Solver, sample
from scigen.state import Rng, State, generator

__all__ = ["Drawn", "Plan", "by_batches", "draw_shapes", "guided", "noised_belief", "split"]


@dataclass(frozen=True)
class Plan:
    """How to sample: the process, the solver, the number of intervals, and the weight of the class.

    `grid` gives the times of rectified flow for a number of intervals; any process takes their log-SNR. `guidance` is
    the weight of classifier-free guidance: 1 is the class as it is, more exaggerates it and costs a second evaluation.
    """

    affine: Affine
    solver: Solver
    steps: int = 50
    grid: Callable[[int], list[float]] = uniform
    guidance: float = 1.0


@dataclass(frozen=True)
class Drawn:
    """Sample `index`: a shape as a batch of one in stored units, or None and the reason when it is not finite."""

    index: int
    shape: State | None
    reason: str | None = None


def draw_shapes(
    network: nn.Module,
    plan: Plan,
    indices: Sequence[int],
    seed: int,
    scale: Scale,
    category: int | None = None,
    tokens: int = 32,
    features: int | None = 32,
    batch: int = 32,
    device: torch.device | str = "cpu",
) -> Iterator[list[Drawn]]:
    """Samples `indices` of `category` (None: of any, the null class), batch by batch.

    Sample k of a seed is the same alone, in any batch and in any order, up to rounding: it draws from a generator of
    its own. `features` None draws raw clouds of `tokens` points.
    """
    network = network.to(device)

    def draw(count: int, rngs: Sequence[torch.Generator]) -> State:
        classes = {} if category is None else {"category": torch.full((count,), category, device=device)}
        return scale.leave(noised_belief(network, plan, blank(count, tokens, features, device, **classes), rngs))

    return by_batches(draw, indices, seed, batch)


def by_batches(
    draw: Callable[[int, Sequence[torch.Generator]], State], indices: Sequence[int], seed: int, batch: int
) -> Iterator[list[Drawn]]:
    """`draw(count, rngs)` for `indices`, `batch` of them at a time, sample k from the generator (seed, k)."""
    for begin in range(0, len(indices), batch):
        chosen = indices[begin : begin + batch]
        yield split(draw(len(chosen), [generator(seed, k) for k in chosen]), chosen)


@torch.inference_mode()
def noised_belief(network: nn.Module, plan: Plan, like: State, rng: Rng) -> State:
    """Shapes in units of variance one, drawn from noise shaped like `like` under whatever condition it carries."""
    process = shape_process(plan.affine, tuple(name for name in ("pos", "feat") if name in like))
    denoise = guided(network, process, plan.guidance if "category" in like else 1.0)
    grid = shared(plan.affine, plan.grid(plan.steps))
    _, belief = sample(process, denoise, process.source(like, rng), grid, rng, plan.solver)
    return process.project(like.replace(**belief))


def split(x: State, indices: Sequence[int]) -> list[Drawn]:
    """The samples of a batch one by one, those with a number that is not finite named and left out."""
    out = []
    for row, index in enumerate(indices):
        one = State({name: v[row : row + 1] for name, v in x.fields.items()}, x.mask[row : row + 1])
        bad = [name for name in ("pos", "feat") if name in one and not bool(torch.isfinite(one[name]).all())]
        out.append(Drawn(index, None, f"non-finite {' and '.join(bad)}") if bad else Drawn(index, one))
    return out


def guided(network: Any, process: Product, weight: float) -> Denoiser:
    """The belief of a network, its class exaggerated by `weight`; 1 is the class as it is, and costs one evaluation."""
    conditional = shape_denoiser(network, process)
    if weight == 1:
        return conditional

    def unconditional(x_t: State, t: Any, previous: Any = None) -> Any:
        return conditional(State({k: v for k, v in x_t.fields.items() if k != "category"}, x_t.mask), t, previous)

    return cfg(conditional, unconditional, process, weight)
