"""GFN2-xTB minima from the MMFF94 starts of the QM9 test split: the row that `refine_quality` has to beat.

    python -m benchmarks.gfn2_optima --n 2000 --out gfn2.npz     resumes where an earlier run stopped

One thread, no restarts, by the package's own descent (`scigen.metrics.gfn2`): preconditioned, so that the time to beat
is a fair one.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from scigen.cache import cache_dir
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.refine.pairs import PairSet, load_pairs
from scigen.io.npz import read_npz, write_npz
from scigen.metrics.gfn2 import Descent, descend

SAVE_EVERY = 100


@dataclass(frozen=True)
class Optima:
    """Minima end to end, `pos [A, 3]` Å; for each molecule its number in QM9 (`index`), the processor `seconds`, the
    energy `evaluations`, and whether the gradient fell (`converged`)."""

    index: np.ndarray
    pos: np.ndarray
    seconds: np.ndarray
    evaluations: np.ndarray
    converged: np.ndarray

    def __len__(self) -> int:
        return len(self.seconds)


def load_optima(path: Path) -> Optima:
    """Read a file of minima; an empty set when there is none yet."""
    if not path.is_file():
        return Optima(np.zeros(0, np.int32), np.zeros((0, 3)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool))
    arrays = read_npz(path)
    return Optima(**{f.name: arrays[f.name] for f in fields(Optima)})


def drawn(pairs: PairSet, n: int) -> PairSet:
    """The first `n` of the test split in an order drawn once: as they are stored, the small molecules come first."""
    rows = np.random.default_rng(0).permutation(pairs.molecules.where("test"))
    return pairs.subset(rows[:n])


def minimum(molecule: Molecule, start: np.ndarray) -> Descent:
    """The minimum reached from `start [N, 3]` in Å."""
    return descend(molecule.z, float(molecule.charge.sum()), start, molecule.bond)


def extend(done: Optima, pairs: PairSet, path: Path) -> Optima:
    """Minima of all pairs, of which `done` are the first; saved as it goes. Raises ValueError when they are not."""
    index, n = pairs.molecules.index, len(pairs)
    if (done.index != index[: len(done)]).any():
        raise ValueError(f"'{path}' holds minima of other molecules; give another file.")
    pos, rest = [done.pos], [[*done.seconds], [*done.evaluations], [*done.converged]]
    for k in range(len(done), n):
        molecule, start = pairs.at(k)
        began = time.process_time()
        end = minimum(molecule, start)
        for column, x in zip(rest, (time.process_time() - began, end.evaluations, end.converged), strict=True):
            column.append(x)
        pos.append(end.pos)
        if (k + 1) % SAVE_EVERY == 0 or k + 1 == n:
            done = Optima(index[: k + 1], np.concatenate(pos), *map(np.array, rest))
            write_npz(path, vars(done))
            print(f"{len(done)} of {n}, {done.seconds.mean():.3f} s each", flush=True)
    return done


def main() -> None:
    """Parse the command line and extend the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pairs = load_pairs(cache_dir() / "qm9-refine.npz")
    extend(load_optima(args.out), drawn(pairs, args.n), args.out)


if __name__ == "__main__":
    main()
