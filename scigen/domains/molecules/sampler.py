"""Drawing molecules: sizes, batches of like size, one generator per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scigen.denoiser import from_network, sharpen
from scigen.domains.molecules.codec import decode
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.fragment import Fragment
from scigen.domains.molecules.inpaint import grow, put_back
from scigen.domains.molecules.process import blank, molecule_process
from scigen.parallel import one_each_core
from scigen.process.affine import Affine
from scigen.solver.adaptive_sde import improved_euler
from scigen.solver.grids import late, logsnr_uniform, shared
from scigen.solver.loop import Solver, sample
from scigen.solver.sde import euler_maruyama
from scigen.state import Streams, generator

__all__ = ["Drawn", "Plan", "draw_molecules", "sizes_for"]

NARROWEST, WIDER = 15, 1.2  # arrays of 15, 18, 21, 25 ... atoms: padding costs less than more and smaller batches
FEWEST = 104  # atoms, padding included: with fewer rows matrix products take other paths


@dataclass(frozen=True)
class Plan:
    """How to sample: the process, the solver, the number of intervals, and how sharply tokens and bonds are drawn.

    `grid` gives the times of rectified flow for a number of intervals; any process takes their log-SNR.
    With `keep` every molecule holds that fragment, and each interval but the last is walked `repeats` times.
    """

    affine: Affine
    solver: Solver
    steps: int = 100
    grid: Callable[[int], list[float]] = late
    sharpness: float = 1.25
    logsnr_range: tuple[float, float] = (-10.0, 10.0)
    keep: Fragment | None = None
    repeats: int = 1


@dataclass(frozen=True)
class Drawn:
    """Sample `index`: a molecule, or None and the reason when a number came out non-finite."""

    index: int
    molecule: Molecule | None
    reason: str | None = None


def sizes_for(rngs: Sequence[torch.Generator], histogram: dict[int, int]) -> list[int]:
    """One atom count per sample, drawn from the training histogram by the sample's own generator."""
    values = np.array(sorted(histogram))
    cumulative = np.cumsum([histogram[v] for v in values])
    u = [float(torch.rand((), generator=g, dtype=torch.float64)) for g in rngs]
    return [int(values[np.searchsorted(cumulative, x * cumulative[-1], side="right")]) for x in u]


def draw_molecules(
    network: nn.Module,
    plan: Plan,
    indices: Sequence[int],
    seed: int,
    sizes: Sequence[int] | dict[int, int],
    batch: int = 48,
    device: torch.device | str = "cpu",
) -> Iterator[list[Drawn]]:
    """Samples `indices` in batches of like size, the costliest first; `sizes` per sample, or a histogram to draw from.

    Half precision rounds by the shape of its arrays, and a rounding that differs grows into another molecule. So a
    sample is padded by its own size, never by its neighbours', and small batches are filled up: alone it is the same.
    On CPU batches run side by side, a core each: operations this small lose more to a thread team than they gain.
    """  # fmt: skip
    network = network.to(device)
    rngs = {i: generator(seed, i) for i in indices}
    counts = sizes_for([rngs[i] for i in indices], sizes) if isinstance(sizes, dict) else list(sizes)
    shelves: dict[int, list[int]] = {}
    for k in sorted(range(len(counts)), key=lambda k: counts[k]):
        shelves.setdefault(_padded(counts[k]), []).append(k)
    groups = [rows[start : start + batch] for rows in shelves.values() for start in range(0, len(rows), batch)]
    # Longest first: the last batches to start are then the short ones, and the threads end together.
    groups.sort(key=lambda rows: -len(rows) * _padded(counts[rows[0]]) ** 2)

    def run(rows: list[int]) -> list[Drawn]:
        chosen = [indices[k] for k in rows]
        molecules, reasons = _draw(network, plan, [counts[k] for k in rows], [rngs[i] for i in chosen], device)
        return [Drawn(i, None if r else m, r) for i, m, r in zip(chosen, molecules, reasons, strict=True)]

    yield from one_each_core(run, groups) if torch.device(device).type == "cpu" else map(run, groups)


@torch.inference_mode()
def _draw(
    network: nn.Module, plan: Plan, sizes: list[int], rngs: list[torch.Generator], device: Any
) -> tuple[list[Molecule], list[str | None]]:
    process = molecule_process(plan.affine)
    denoise = from_network(network, plan.affine, logsnr_range=plan.logsnr_range)
    if plan.sharpness != 1:
        denoise = sharpen(denoise, {"atom": plan.sharpness, "bond": plan.sharpness})
    wanted, width = len(sizes), _padded(max(sizes))
    spare = max(-(-FEWEST // width) - wanted, 0)
    sizes = sizes + sizes[:1] * spare
    like = blank(sizes, device, width)
    streams = Streams(rngs + [torch.Generator() for _ in range(spare)], sizes)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        if plan.keep is not None:
            belief = grow(process, denoise, plan.keep, like, _grid(plan), streams, plan.solver, plan.repeats)
        else:
            _, belief = sample(process, denoise, process.source(like, streams), _grid(plan), streams, plan.solver)
    belief = {name: x[:wanted] for name, x in belief.items()}
    molecules = decode(belief, like.mask[:wanted])
    return [put_back(m, plan.keep) for m in molecules] if plan.keep is not None else molecules, _faults(belief)


def _padded(size: int) -> int:
    """The width of the arrays a molecule of `size` atoms is drawn in."""
    width = NARROWEST
    while width < size:
        width = int(WIDER * width)
    return width


def _grid(plan: Plan) -> list[float]:
    if plan.solver not in (euler_maruyama, improved_euler):
        return shared(plan.affine, plan.grid(plan.steps))
    # The reverse SDE wants small even steps of log-SNR, and has an infinite drift at alpha = 0: it starts later.
    endless = float(plan.affine.alpha(1.0)) == 0
    return logsnr_uniform(plan.affine, plan.steps + endless, *plan.logsnr_range)[endless:]


def _faults(belief: Mapping[str, Tensor]) -> list[str | None]:
    """Per sample, which fields hold a number that is not finite; None where all is well."""
    said = {"pos": "coordinates", "atom": "atom tokens", "bond": "bonds"}
    bad = {said[name]: (~torch.isfinite(x)).flatten(1).any(1).tolist() for name, x in belief.items()}
    rows = [[field for field, flags in bad.items() if flags[k]] for k in range(len(belief["pos"]))]
    return [f"non-finite {' and '.join(row)}" if row else None for row in rows]
