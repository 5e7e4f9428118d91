"""Quality of molecule samples: the score table of the README, and quality against steps, processes and solvers.

    python -m benchmarks.molecule_quality --n 10000 --seeds 3            the table, mean and spread over seeds
    python -m benchmarks.molecule_quality --seeds 3 --card PATH           the same, and the means into the JSON card
    python -m benchmarks.molecule_quality --sweep steps --n 1000         edm and ancestral at several evaluations
    python -m benchmarks.molecule_quality --sweep processes --n 1000     all processes and solvers, equal evaluations
    python -m benchmarks.molecule_quality --sweep band --n 1000          where edm's second evaluation pays

Prints Markdown; the QM9 test row, measured the same way, stands beside every table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scigen.domains.molecules.checks import check_molecules, score_molecules
from scigen.domains.molecules.codec import to_rdkit
from scigen.domains.molecules.sampler import Plan, draw_molecules
from scigen.process.affine import rectified
from scigen.run import weights as store
from scigen.run.build import affine_process, named_solver
from scigen.solver import churn, euler, heun, in_band
from scigen.solver.grids import late
from scigen.solver.loop import sample

SHOWN = (
    "strict_atom_stability", "strict_molecule_stability", "validity", "connectivity", "uniqueness", "novelty",
    "edm_atom_stability", "edm_molecule_stability", "edm_validity", "bond_w1", "angle_w1",
)  # fmt: skip
COMBINATIONS = [(p, s) for p in ("flow", "cosine", "vp", "subvp", "ve") for s in ("ancestral", "ddim", "dpmpp2m")] + [
    ("flow", s) for s in (
        "tokens-pc", "dpmpp2m-sde", "dpm2", "dpm3", "dpmpp3m", "pndm", "unipc", "euler", "heun", "edm", "pc", "sde",
        "sde2",
    )
] + [("vp", "heun"), ("vp", "pc"), ("ve", "heun")]  # fmt: skip
BANDS = [((0.0, 1e9), 32), ((0.03, 2.0), 28), ((0.2, 5.0), 28), ((0.03, 0.8), 24), ((0.04, 0.8), 18)]  # and intervals
EVALUATIONS = 46  # of the network a molecule, the sampler's default: 28 intervals of edm


@dataclass(frozen=True)
class Row:
    """One line of a table: what ran, seconds for all samples, scores by name and the data row's."""

    label: str
    seconds: float
    scores: dict[str, float | None]
    data: dict[str, float | None]


def measure(weights: store.Weights, plan: Plan, label: str, n: int, seed: int, extras: Sequence[str] = ()) -> Row:
    """Draw n samples under `seed` and score the finite ones; the label counts the others, so none goes unseen."""
    began = time.perf_counter()
    sizes = {int(k): int(v) for k, v in weights.card["sizes"].items()}
    drawn = [d for group in draw_molecules(weights.network, plan, range(n), seed, sizes) for d in group]
    seconds = time.perf_counter() - began
    mols = [to_rdkit(d.molecule) for d in drawn if d.molecule is not None]
    if lost := n - len(mols):
        label += f" ({lost} not finite)"
    scores = score_molecules(mols, check_molecules(mols), extras)
    row = Row(label, seconds, {s.name: s.value for s in scores}, {s.name: s.data for s in scores})
    print("\n".join(table([row])), file=sys.stderr, flush=True)  # hours may lie between this row and the table
    return row


def plan_for(weights: store.Weights, process: str, solver: str, steps: int, **settings: float) -> Plan:
    """A plan on the weights' own log-SNR range."""
    bounds = tuple(weights.card["logsnr_range"])
    return Plan(affine_process(process), named_solver(solver, steps=steps), steps, logsnr_range=bounds, **settings)


def corrected_in(weights: store.Weights, band: tuple[float, float], steps: int) -> Plan:
    """EDM's churned sampler with Heun's correction at those noise levels alone."""
    plan = plan_for(weights, "flow", "edm", steps)
    return replace(plan, solver=churn(steps, solver=in_band(band, heun, euler)))


def intervals(solver: str, evaluations: int) -> int:
    """The most solver intervals, on the sampler's grid, that cost at most so many network evaluations."""
    return max((n for n in range(1, evaluations + 1) if spent(solver, n) <= evaluations), default=1)


def spent(solver: str, steps: int) -> int:
    """Network evaluations of a run. `edm` asks twice in some intervals: counted on a belief that costs nothing."""
    move, calls = named_solver(solver, steps=steps), 0
    if solver != "edm":
        return steps * move.evaluations

    def belief(x_t: Tensor, t: object, previous: object = None) -> Tensor:
        nonlocal calls
        calls += 1
        return 0 * x_t

    sample(rectified(), belief, torch.zeros(1, 1, 1), late(steps), torch.Generator(), move)
    return calls


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: one line per row, then the data."""
    names = [n for n in (*SHOWN, "posebusters", "fcd") if any(r.scores.get(n) is not None for r in rows)]
    yield "| | " + " | ".join(n.replace("_", " ") for n in names) + " | s |"
    yield "|---" * (len(names) + 2) + "|"
    for r in rows:
        yield f"| {r.label} | " + " | ".join(_show(n, r.scores.get(n)) for n in names) + f" | {r.seconds:.0f} |"
    yield "| QM9 test | " + " | ".join(_show(n, rows[0].data.get(n)) for n in names) + " | |"


def _show(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if name in ("bond_w1", "angle_w1", "fcd") else f"{100 * value:.2f}"


def _mean(rows: Sequence[Row]) -> Row:
    """Mean over seeds, with the half-width of the spread in the label of each score."""
    names = rows[0].scores
    mean = {k: None if rows[0].scores[k] is None else float(np.mean([r.scores[k] for r in rows])) for k in names}
    return Row(f"mean of {len(rows)} seeds", float(np.mean([r.seconds for r in rows])), mean, rows[0].data)


def _write_card(path: Path, args: argparse.Namespace, mean: Row) -> None:
    """What a card says of quality: how it was measured, the means, and the data row under the same definitions."""
    card = json.loads(path.read_text())
    steps = intervals(args.solver, args.evaluations)
    how = {"samples": args.n, "seeds": list(range(args.seeds)), "steps": steps, "solver": args.solver}
    card["scores"] = {**how, "mean": mean.scores, "qm9_test": mean.data}
    path.write_text(json.dumps(card, indent=2) + "\n")


def main() -> None:
    """Parse the command line and print the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="molecules-qm9")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--solver", default="edm")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="network evaluations a molecule")
    parser.add_argument("--sweep", choices=("steps", "processes", "sharpness", "band"))
    parser.add_argument("--extras", nargs="*", default=[], help="posebusters fcd mmff gfn2")
    parser.add_argument("--card", type=Path, help="JSON card to write the mean scores into")
    args = parser.parse_args()
    weights = store.read(args.weights)
    evaluations, steps = args.evaluations, intervals(args.solver, args.evaluations)
    if args.sweep == "steps":
        jobs = [
            (f"{solver}, {k} evaluations", plan_for(weights, "flow", solver, intervals(solver, k)))
            for solver in ("edm", "ancestral")
            for k in (20, 32, 50, 64, 100)
        ]
    elif args.sweep == "sharpness":
        jobs = [(f"power {p}", plan_for(weights, "flow", args.solver, steps, sharpness=p)) for p in (1, 1.25, 1.5, 2)]
    elif args.sweep == "band":
        jobs = [(f"{k} intervals, corrected in {b}", corrected_in(weights, b, k)) for b, k in BANDS]
    elif args.sweep == "processes":
        jobs = [(f"{p}, {s}", plan_for(weights, p, s, intervals(s, evaluations))) for p, s in COMBINATIONS]
    else:
        plan = plan_for(weights, "flow", args.solver, steps)
        rows = [measure(weights, plan, f"seed {seed}", args.n, seed, args.extras) for seed in range(args.seeds)]
        print("\n".join(table([*rows, _mean(rows)] if len(rows) > 1 else rows)))
        if args.card:
            _write_card(args.card, args, _mean(rows))
        return
    print("\n".join(table([measure(weights, plan, label, args.n, 0) for label, plan in jobs])))


if __name__ == "__main__":
    main()
