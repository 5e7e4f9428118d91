"""Solvers of the probability-flow ODE side by side: error against evaluations, and the price of the loop.

    python -m benchmarks.solvers                 both tables of errors, adaptive solvers, and the overhead of a step
    python -m benchmarks.solvers --budgets 8 16  other numbers of evaluations

The problem is a mixture of three Gaussians in two dimensions with its exact belief: 64 paths from sigma = 80 to 0.01,
under VE on EDM's clock and, on the same levels, under VP. Errors are mean distances to the ends of the same paths by
SciPy's DOP853 (rtol 1e-12), in units of alpha. Every solver walks the same grid, equal steps of log-SNR, with as many
steps as its evaluations allow, all in one run. Peers that are not installed are named and left out; torchsde solves
SDEs, which have no path to compare.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import torch
from torch import Tensor

from benchmarks.solver_peers import Run, dopri5, peers
from scigen.denoiser import Denoiser
from scigen.domains.molecules.process import blank, molecule_process
from scigen.process.affine import Affine, rectified, vp
from scigen.solver import (
    DATA,
    NATURAL,
    NOISE,
    Solver,
    adams,
    ddim,
    dpm_solver,
    dpmpp_2m,
    euler,
    heun,
    rk45,
    sample,
    unipc,
)  # fmt: skip
from scigen.state import State
from tests.anchors.problems import EDM, count, fitted, level_grid, on_mixture, path_ends, starts

LEVELS = (-2 * math.log(80), -2 * math.log(0.01))
BUDGETS = (16, 32, 64, 128)
OURS: dict[str, Solver] = {
    "DDIM": ddim(),
    "Euler": euler,
    "Heun": heun,
    "DPM-Solver-2": dpm_solver(2),
    "DPM-Solver-3": dpm_solver(3),
    "DPM-Solver++(2S)": dpm_solver(2, DATA),
    "DPM-Solver++(2M)": dpmpp_2m,
    **{f"Adams-{k} data": adams(k, DATA) for k in (2, 3, 4)},
    **{f"Adams-{k} noise": adams(k, NOISE) for k in (2, 3, 4)},
    **{f"Adams-{k} natural": adams(k, NATURAL) for k in (2, 3, 4)},
    **{f"UniPC-{p} data": unipc(p, DATA) for p in (1, 2, 3, 4)},
    **{f"UniPC-{p} noise": unipc(p, NOISE) for p in (1, 2, 3, 4)},
}


def ours() -> Iterator[tuple[str, int, Run]]:
    """Our solvers behind the signature of the peers."""

    def run(solver: Solver) -> Run:
        return lambda affine, grid, denoise, x: sample(affine, denoise, x, grid, torch.Generator(), solver)[0]

    for name, solver in OURS.items():
        yield "scigen " + name, solver.evaluations, run(solver)


def errors(affine: Affine, run: Run, evaluations: int, budgets: Sequence[int]) -> list[float]:
    """Mean distance to the exact ends for each number of evaluations; fails if a solver takes more than its budget."""
    out = []
    for budget in budgets:
        grid = level_grid(affine, budget // evaluations, *LEVELS)
        denoise = count(on_mixture(affine))
        x = run(affine, grid, denoise, starts(affine, grid[0]))
        assert denoise.calls <= budget, f"{denoise.calls} evaluations of {budget}"
        out.append(float((x / affine.alpha(grid[-1]) - path_ends(*LEVELS)).norm(dim=1).mean()))
    return out


def table(affine: Affine, label: str, budgets: Sequence[int]) -> None:
    """Rows sorted by the error at the largest budget; the best of each column is starred."""
    rows: dict[str, list[float]] = {}
    for name, evaluations, run in (*ours(), *peers()):
        if run is None:
            print(f"({name} is not installed: its rows are left out)")
        else:
            rows[name] = errors(affine, run, evaluations, budgets)
    print(f"\n{label}: path error for {len(budgets)} numbers of evaluations, and the fitted order\n")
    print("| solver | " + " | ".join(map(str, budgets)) + " | order |\n|---" + "|---:" * (len(budgets) + 1) + "|")
    best = [min(row[i] for row in rows.values()) for i in range(len(budgets))]
    for name, row in sorted(rows.items(), key=lambda pair: pair[1][-1]):
        cells = [f"{'**' if e == b else ''}{e:.2e}{'**' if e == b else ''}" for e, b in zip(row, best)]
        print(f"| {name} | " + " | ".join(cells) + f" | {-fitted(budgets, row):.2f} |")


def adaptive(affine: Affine) -> None:
    """Error and evaluations by tolerance."""
    ends = level_grid(affine, 1, *LEVELS)
    x = starts(affine, ends[0])
    print("\nAdaptive Runge-Kutta 5(4)\n\n| solver | tolerance | evaluations | path error |\n|---|---:|---:|---:|")
    try:
        module = importlib.import_module("torchdiffeq")
    except ImportError:
        module = None
    for tol in (1e-3, 1e-5, 1e-7):
        denoise = count(on_mixture(affine))
        rows = {"scigen rk45": rk45(affine, denoise, x, *ends, tol, tol).x}
        calls = [denoise.calls]
        if module is not None:
            rows["torchdiffeq dopri5"] = dopri5(module, affine, ends, denoise, x, tol)
            calls.append(denoise.calls - calls[0])
        for (name, out), n in zip(rows.items(), calls):
            error = float((out / affine.alpha(ends[-1]) - path_ends(*LEVELS)).norm(dim=1).mean())
            print(f"| {name} | {tol:.0e} | {n} | {error:.2e} |")


def by_hand(affine: Affine, grid: Sequence[float], denoise: Denoiser, x: Tensor) -> Tensor:
    """DDIM as one writes it for one schedule: coefficients ahead, three operations a step."""
    t = torch.tensor(grid, dtype=torch.float64)
    alpha, sigma = affine.alpha(t).tolist(), affine.sigma(t).tolist()
    for i in range(len(grid) - 1):
        x0 = denoise(x, grid[i])
        r = sigma[i + 1] / sigma[i]
        x = r * x + (alpha[i + 1] - r * alpha[i]) * x0
    return x


def by_hand_tokens(grid: Sequence[float], belief: Mapping[str, Tensor], x: State, rng: torch.Generator) -> State:
    """The same for molecules: DDIM on coordinates, `Categorical.step` on atoms and bonds, one projection."""
    process = molecule_process(rectified())
    for t, s in zip(grid, grid[1:]):
        moved = {"pos": s / t * x["pos"] + (1 - s - s / t * (1 - t)) * belief["pos"]}
        for name in ("atom", "bond"):
            moved[name] = process.parts[name].step(x[name], belief[name], t, s, rng)
        x = process.project(x.replace(**moved))
    return x


def per_step(rivals: Mapping[str, Callable[[], object]], steps: int, turns: int = 15) -> dict[str, float]:
    """Median milliseconds of processor time a step, rivals taking turns."""
    spent: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(turns):
        for name, call in rivals.items():
            began = time.process_time()
            call()
            spent[name].append((time.process_time() - began) / steps * 1e3)
    return {name: median(times) for name, times in spent.items()}


def overhead(batch: int, atoms: int, steps: int) -> None:
    """The price of a step of every loop, around a belief that costs nothing."""
    flow, grid, rng = rectified(), [1 - 1e-3 - 0.99 * i / steps for i in range(steps + 1)], torch.Generator()
    pos = torch.randn(batch, atoms, 3, generator=rng)
    still = torch.zeros_like(pos)
    runs = {name: run for name, _, run in (*ours(), *peers()) if run is not None and name in SHOWN}

    def free(x: Tensor, t: float, previous: object = None) -> Tensor:
        return still

    loops = {"by hand, DDIM": lambda: by_hand(flow, grid, free, pos)}
    loops |= {name: lambda run=run: run(flow, grid, free, pos) for name, run in runs.items()}
    took = per_step(loops, steps)
    show(f"coordinates {batch} x {atoms} x 3", took, "by hand, DDIM")
    x = blank([atoms] * batch)
    process = molecule_process(flow)
    sizes = {name: len(process.parts[name].m) for name in ("atom", "bond")}
    belief = {n: torch.full((*x[n].shape, k), 1 / k) for n, k in sizes.items()} | {"pos": still}
    loops = {"by hand, DDIM": lambda: by_hand_tokens(grid, belief, x, rng)}
    for name in ("DDIM", "DPM-Solver++(2M)", "Adams-3 data", "UniPC-3 noise"):
        solver = OURS[name]
        loops["scigen " + name] = lambda solver=solver: sample(process, lambda *_: belief, x, grid, rng, solver)
    show(f"molecules, {batch} of {atoms} atoms with tokens and bonds", per_step(loops, steps, 5), "by hand, DDIM")


SHOWN = (
    "scigen DDIM", "scigen DPM-Solver++(2M)", "scigen Adams-3 data", "scigen UniPC-3 noise", "azula DDIM",
    "azula xEAB-3", "diffusers DPM++2M", "diffusers UniPC-3",
)  # fmt: skip


def show(label: str, took: Mapping[str, float], base: str) -> None:
    """Milliseconds a step, and the cost of one evaluation from which the loop is within 5 % of `base`."""
    print(f"\nOverhead on {label}: one thread, a belief that costs nothing\n")
    print("| loop | ms a step | within 5 % by hand from an evaluation of |\n|---|---:|---:|")
    for name, ms in took.items():
        print(f"| {name} | {ms:.3f} | {max(0.0, (ms - took[base]) / 0.05 - took[base]):.1f} ms |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--atoms", type=int, default=24)
    parser.add_argument("--steps", type=int, default=40, help="steps of the overhead runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        table(EDM, "VE, sigma 80 to 0.01", args.budgets)
        table(vp(), "VP, the same levels", args.budgets)
        adaptive(EDM)
        overhead(args.batch, args.atoms, args.steps)


if __name__ == "__main__":
    main()
