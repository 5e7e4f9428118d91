"""What pairs are worth: the bridge from MMFF94 to reference geometries, learnt with pairs and without.

    python -m benchmarks.unpaired_bridge --molecules 2000

Every bend C-C-O between saturated atoms outside rings of three, as (length, length, angle). Reference geometries come
from one half of the molecules, MMFF94 geometries from the other, so that no pair is left; the truth about the second
half serves the score alone. Prints Markdown: root mean square error, correlation with the true displacement, W1 of
draws to the truths.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from scigen.bridge import from_start, imf, regression
from scigen.cache import cache_dir
from scigen.coupling import sinkhorn_plan
from scigen.denoiser import Denoiser
from scigen.domains.molecules.refine.local import Bends, bends
from scigen.domains.molecules.refine.pairs import load_pairs
from scigen.process.brownian import Brownian
from scigen.solver.grids import uniform

BEND = "[CX4;!r3]-[CX4;!r3]-[OX2;!r3]"
UNIT = np.array([20.0, 20.0, 3.0])  # mÅ, mÅ, degrees: about what separates the two geometries
NOISE = 0.5  # of the bridge, in these units: 10 mÅ and 1.5 degrees
GRID = uniform(20)
DRAWS = 20
BRIDGE = Brownian(NOISE)


class Drift(nn.Module):
    """(x_t - x0) / sqrt(w) from x_t `[B, 3]` and the bridge's clock w `[B]`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(11, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 3))

    def forward(self, x_t: Tensor, w: Tensor) -> Tensor:
        phase = torch.arange(1, 5) * torch.pi / 2 * w[:, None]
        return self.layers(torch.cat([x_t / x_t.new_tensor([1, 1, 5]), phase.cos(), phase.sin()], 1))


def scaled(x: np.ndarray, middle: np.ndarray) -> Tensor:
    """Bends `[n, 3]` (Å, Å, degrees) in units of `UNIT` around `middle`."""
    return torch.tensor((x - middle) * [1000, 1000, 1] / UNIT, dtype=torch.float32)


def answers(here: Bends, there: Bends, rounds: int, steps: int) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """The truths about `there`, and by method the mean of draws and one draw, all `[n, 3]`."""
    middle = here.reference.mean(0)
    x0, x1 = scaled(here.reference, middle), scaled(there.start, middle)
    # As many steps as the unpaired fit towards x0 gets in all its rounds.
    paired = regression(Drift(0), rounds * steps, 256, 2e-3)(BRIDGE, x0, scaled(here.start, middle), rng(0))
    rows = [torch.randint(len(x), (2 * max(len(x0), len(x1)),), generator=rng(k)) for k, x in ((1, x0), (2, x1))]
    fits = regression(Drift(1), steps, 256, 2e-3), regression(Drift(2), steps, 256, 2e-3)
    last = list(islice(imf(BRIDGE, x0[rows[0]], x1[rows[1]], fits, GRID, rng(3)), rounds))[-1]
    plan = sinkhorn_plan(torch.cdist(x0.double(), x1.double()).square(), 2 * NOISE**2, tolerance=1e-3).mT
    chosen = torch.multinomial(plan, 1, generator=rng(4))[:, 0]
    shifted = x1 + x0.mean(0) - x1.mean(0)
    return scaled(there.reference, middle), {
        "MMFF94 start": (x1, x1),
        "shift of the means": (shifted, shifted),
        "paired bridge": _walked(paired, x1),
        "unpaired bridge": _walked(last.to_x0, x1),
        "Sinkhorn's plan": ((plan @ x0.double() / plan.sum(1, keepdim=True)).float(), x0[chosen]),
    }


def table(truth: Tensor, found: dict[str, tuple[Tensor, Tensor]], start: Tensor) -> Iterator[str]:
    """Markdown; three numbers a cell: C-C and C-O in mÅ, the angle in degrees."""
    yield "| | root mean square error | correlation with the true displacement | W1 of draws to the truths |"
    yield "|---|---|---|---|"
    real = (truth - start).numpy()
    for name, (mean, draw) in found.items():
        off = (mean - truth).square().mean(0).sqrt().numpy() * UNIT
        told = (mean - start).numpy()
        r = [np.corrcoef(told[:, d], real[:, d])[0, 1] if told[:, d].std() > 1e-5 else 0.0 for d in range(3)]
        w1 = (draw.sort(0).values - truth.sort(0).values).abs().mean(0).numpy() * UNIT
        cells = ("{:.1f}, {:.1f}, {:.2f}".format(*off), "{:.2f}, {:.2f}, {:.2f}".format(*r),
                 "{:.1f}, {:.1f}, {:.2f}".format(*w1))  # fmt: skip
        yield f"| {name} | " + " | ".join(cells) + " |"


def rng(seed: int) -> torch.Generator:
    """A generator of its own for every draw."""
    return torch.Generator().manual_seed(seed)


def _walked(denoise: Denoiser, x1: Tensor) -> tuple[Tensor, Tensor]:
    draws = torch.stack([from_start(BRIDGE, denoise, x1, GRID, rng(100 + k))[0] for k in range(DRAWS)])
    return draws.mean(0), draws[0]


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=800, help="of each fit")
    args = parser.parse_args()
    pairs = load_pairs(cache_dir() / "qm9-refine.npz")
    rows = np.random.default_rng(0).permutation(pairs.molecules.where("train"))[: args.molecules]
    found = bends(pairs.subset(rows), BEND)
    half = args.molecules // 2
    here, there = found.of(np.arange(half)), found.of(np.arange(half, args.molecules))
    truth, by_method = answers(here, there, args.rounds, args.steps)
    print(f"{len(here.molecule):,} bends with a reference, {len(there.molecule):,} others with a start\n")
    print("\n".join(table(truth, by_method, by_method["MMFF94 start"][0])))


if __name__ == "__main__":
    main()
