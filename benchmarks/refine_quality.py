"""Quality of refined geometries on the QM9 test split, beside the starts and the GFN2-xTB minima.

    python -m benchmarks.gfn2_optima --n 2000 --out gfn2.npz           first: the minima, in the background
    python -m benchmarks.refine_quality --gfn2 gfn2.npz                the table, as Markdown, with 95 % intervals
    python -m benchmarks.refine_quality --calibration coverage.png     and how far draws of the bridge can be trusted

Molecules are drawn once from the test split; with `--gfn2` as many as there are minima. Times are processor time for a
molecule, all cores together, the start not counted, measured in this run one after the other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks.gfn2_optima import drawn, load_optima, minimum
from benchmarks.refine_calibration import coverage, draw_reliability
from scigen.cache import cache_dir
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.refine.apply import Walk, refine
from scigen.domains.molecules.refine.pairs import PairSet, load_pairs, relaxed
from scigen.metrics.refinement import NAMES, Errors, average, best, geometry_errors, internals, summary
from scigen.metrics.stats import bootstrap, wilson
from scigen.run import weights as store
from scigen.run.refine import MEAN

WORSE = 0.1  # Å of RMSD beyond the start's: a refinement that did harm
CALIBRATED = 200  # molecules whose draws are held against the truth
TIMED = 40  # molecules on which MMFF94 and GFN2-xTB are timed
UNITS = {"rmsd": ("RMSD, Å", 1), "heavy_rmsd": ("heavy atoms, Å", 1), "bond": ("bonds, mÅ", 1000),
         "angle": ("angles, °", 1), "torsion": ("torsions, °", 1)}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the table: errors of every molecule, and processor milliseconds a molecule if it took any."""

    label: str
    errors: list[Errors]
    milliseconds: float | None = None


def measure(pairs: PairSet, geometries: Sequence[np.ndarray]) -> list[Errors]:
    """Errors of one geometry `[N, 3]` a molecule."""
    out = []
    for k, pos in enumerate(geometries):
        molecule, _ = pairs.at(k)
        out.append(geometry_errors(pos, molecule.pos, molecule.z, internals(molecule.bond)))
    return out


def starts(pairs: PairSet) -> list[Molecule]:
    """The molecules with their start geometries."""
    out = []
    for k in range(len(pairs)):
        m, start = pairs.at(k)
        out.append(Molecule(m.z, m.charge, start, m.bond))
    return out


def refined(network: nn.Module, pairs: PairSet, walk: Walk) -> tuple[list[np.ndarray], float]:
    """All walks of every molecule, `[draws, N, 3]` each, and processor milliseconds of one walk."""
    items = starts(pairs)
    began = _processor()
    found = refine(network, items, pairs.molecules.index.tolist(), walk)
    return found, 1000 * (_processor() - began) / (len(pairs) * walk.draws)


def network_rows(network: nn.Module, pairs: PairSet, steps: int, draws: int) -> list[Row]:
    """The default of `scigen refine`, regression, ODE, and the SDE's draws: their mean error, and the best by RMSD."""
    rows = []
    walks = {"default": MEAN, "regression": Walk(1), f"bridge ODE, {steps} steps": Walk(steps)}
    for label, walk in walks.items():
        found, cost = refined(network, pairs, walk)
        rows.append(Row(label, measure(pairs, [x[0] for x in found]), cost))
    found, cost = refined(network, pairs, Walk(steps, noise=True, draws=draws))
    each = list(zip(*(measure(pairs, [x[d] for x in found]) for d in range(draws)), strict=True))
    sde = f"bridge SDE, {steps} steps"
    return [
        *rows,
        Row(f"{sde}, mean of {draws}", [average(e) for e in each], cost),
        Row(f"{sde}, best of {draws}", [best(e) for e in each], cost * draws),
    ]


def gfn2_row(pairs: PairSet, path: Path) -> Row:
    """The minima on file, and what one costs here and now."""
    optima = load_optima(path)
    cuts = np.cumsum(pairs.molecules.sizes())[:-1]
    geometries = np.split(optima.pos[: len(pairs.start)], cuts)
    began = time.process_time()
    for k in range(min(TIMED, len(pairs))):
        minimum(*pairs.at(k))
    cost = 1000 * (time.process_time() - began) / min(TIMED, len(pairs))
    lost = int((~optima.converged[: len(pairs)]).sum())
    return Row("GFN2-xTB minimum" + (f" ({lost} not converged)" if lost else ""), measure(pairs, geometries), cost)


def start_row(label: str, pairs: PairSet) -> Row:
    """The starts themselves; MMFF94's time is that of a minimisation from the reference, the least it can take."""
    began = time.process_time()
    for k in range(min(TIMED, len(pairs))):
        relaxed(pairs.at(k)[0])
    cost = 1000 * (time.process_time() - began) / min(TIMED, len(pairs))
    return Row(label, measure(pairs, [pairs.at(k)[1] for k in range(len(pairs))]), cost)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown; the first row is the start that the others are held against."""
    heads = [UNITS[name][0] for name in NAMES]
    yield "| | " + " | ".join(heads) + f" | worst 1 %: RMSD, bonds | {WORSE} Å worse than the start | ms |"
    yield "|---" * (len(heads) + 4) + "|"
    for row in rows:
        found = summary(row.errors)
        cells = []
        for name in NAMES:
            s, scale = found[name], UNITS[name][1]
            low, high = s.interval or (s.mean, s.mean)
            cells.append(f"{scale * s.mean:.3g} ({scale * low:.3g} to {scale * high:.3g})")
        worst = f"{found['rmsd'].worst:.2f} Å, {1000 * found['bond'].worst:.1f} mÅ"
        cost = "" if row.milliseconds is None else f"{row.milliseconds:.2f}"
        yield f"| {row.label} | " + " | ".join([*cells, worst, _worse(row, rows[0]), cost]) + " |"


def against(row: Row, other: Row) -> str:
    """Differences of the same molecules' errors, row - other, with paired bootstrap intervals."""
    parts = []
    for name in NAMES:
        label, scale = UNITS[name]
        gap = np.array([getattr(a, name) - getattr(b, name) for a, b in zip(row.errors, other.errors, strict=True)])
        gap = scale * gap[np.isfinite(gap)]
        low, high = bootstrap(gap, np.mean, 0) or (np.nan, np.nan)
        parts.append(f"{label} {gap.mean():+.3g} ({low:+.3g} to {high:+.3g})")
    return f"{row.label} minus {other.label}: " + "; ".join(parts)


def _worse(row: Row, start: Row) -> str:
    if row is start:
        return ""
    count = sum(a.rmsd > b.rmsd + WORSE for a, b in zip(row.errors, start.errors, strict=True))
    low, high = wilson(count, len(row.errors)) or (0.0, 1.0)
    return f"{100 * count / len(row.errors):.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def _processor() -> float:
    """Processor seconds of this process, its threads and its finished children."""
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main() -> None:
    """Parse the command line and print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="molecules-refine")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--gfn2", type=Path, help="minima of benchmarks.gfn2_optima")
    parser.add_argument("--etkdg", action="store_true", help="a second table, from ETKDG and MMFF94")
    parser.add_argument("--calibration", type=Path, help="PNG of the coverage of the SDE's draws")
    args = parser.parse_args()
    network = store.read(args.weights).network
    n = min(args.n, len(load_optima(args.gfn2))) if args.gfn2 else args.n
    pairs = drawn(load_pairs(cache_dir() / "qm9-refine.npz"), n)
    rows = [start_row("MMFF94 start", pairs)] + ([gfn2_row(pairs, args.gfn2)] if args.gfn2 else [])
    print(f"{len(pairs):,} molecules\n")
    ours = network_rows(network, pairs, args.steps, args.draws)
    print("\n".join(table(rows + ours)), flush=True)
    if args.gfn2:
        print(f"\n{against(ours[0], rows[1])}")
    if args.etkdg:
        other = drawn(load_pairs(cache_dir() / "qm9-refine-etkdg.npz"), args.n)
        rows = [start_row("ETKDG, MMFF94 start", other), *network_rows(network, other, args.steps, args.draws)]
        print(f"\n{len(other):,} molecules\n")
        print("\n".join(table(rows)), flush=True)
    if args.calibration:
        few = pairs.subset(np.arange(min(len(pairs), CALIBRATED)))
        found = coverage(few, refined(network, few, Walk(args.steps, noise=True, draws=19))[0])
        draw_reliability(found, args.calibration)
        print("\n" + "\n".join(f"{kind}: {c.line()}" for kind, c in found.items()))


if __name__ == "__main__":
    main()
