"""GFN2-xTB minima from the MMFF94 starts of the QM9 test split: the row that `refine_quality` has to beat.

    python -m benchmarks.gfn2_optima --n 2000 --out gfn2.npz     resumes where an earlier run stopped

One thread, no restarts, L-BFGS in coordinates in which a model Hessian of springs is the identity: about half the
energies that plain Cartesian L-BFGS asks for, so the time to beat is a fair one. A minimum is where the norm of the
gradient falls below 1e-3 Hartree/Bohr, the `normal` level of the xtb program.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from scigen.domains.molecules.data import Molecule, cache_dir
from scigen.domains.molecules.refine.pairs import PairSet, load_pairs
from scigen.io.npz import read_npz, write_npz

BOHR = 0.529177210903  # Å
GRADIENT = 1e-3  # Hartree/Bohr, norm over all coordinates
EVALUATIONS = 300
SPRINGS = (0.4, 0.1, 0.01, 0.002)  # Hartree/Bohr^2 between atoms 1, 2, 3 and more bonds apart
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


def minimum(molecule: Molecule, start: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """The minimum reached from `start [N, 3]` in Å, the energies it took, and whether it is one.

    Where the electrons do not settle, the last geometry at which they did.
    """
    from scipy.optimize import minimize
    from tblite.exceptions import TBLiteRuntimeError
    from tblite.interface import Calculator

    x0 = start.astype(np.float64) / BOHR
    engine = Calculator("GFN2-xTB", molecule.z.astype(int), x0, charge=float(molecule.charge.sum()))
    engine.set("verbosity", 0)
    values, vectors = np.linalg.eigh(model_hessian(x0, molecule.bond))
    scale = vectors / np.sqrt(np.maximum(values, 10 * SPRINGS[-1])) @ vectors.T
    last, evaluations, found = None, 0, x0

    def energy_and_gradient(y: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal last, evaluations, found
        x = x0 + (scale @ y).reshape(-1, 3)
        evaluations += 1
        engine.update(positions=x)
        last = engine.singlepoint(last)
        found = x
        gradient = last.get("gradient").ravel()
        if np.linalg.norm(gradient) < GRADIENT:
            raise StopIteration
        return float(last.get("energy")), scale.T @ gradient

    options = {"maxfun": EVALUATIONS, "maxiter": EVALUATIONS, "maxcor": 20, "gtol": 0.0, "ftol": 0.0}
    try:
        minimize(energy_and_gradient, np.zeros(x0.size), jac=True, method="L-BFGS-B", options=options)
    except StopIteration:
        return found * BOHR, evaluations, True
    except TBLiteRuntimeError:
        pass
    return found * BOHR, evaluations, False


def model_hessian(x: np.ndarray, bond: np.ndarray) -> np.ndarray:
    """Second derivatives `[3N, 3N]` of springs at rest between all atoms at `x [N, 3]`, stiff along the bonds."""
    n = len(x)
    reach = np.zeros((n, n), np.int64)
    reach[bond[:, 0], bond[:, 1]] = reach[bond[:, 1], bond[:, 0]] = 1
    stiffness = np.full((n, n), SPRINGS[3])
    for walk, spring in ((3, SPRINGS[2]), (2, SPRINGS[1]), (1, SPRINGS[0])):
        stiffness[np.linalg.matrix_power(reach, walk) > 0] = spring
    np.fill_diagonal(stiffness, 0)
    apart = x[:, None] - x
    unit = apart / (np.linalg.norm(apart, axis=-1) + np.eye(n))[..., None]
    blocks = -stiffness[..., None, None] * unit[..., :, None] * unit[..., None, :]
    blocks[np.arange(n), np.arange(n)] = -blocks.sum(1)
    return blocks.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)


def extend(done: Optima, pairs: PairSet, path: Path) -> Optima:
    """Minima of all pairs, of which `done` are the first; saved as it goes. Raises ValueError when they are not."""
    index, n = pairs.molecules.index, len(pairs)
    if (done.index != index[: len(done)]).any():
        raise ValueError(f"'{path}' holds minima of other molecules; give another file.")
    pos, rest = [done.pos], [[*done.seconds], [*done.evaluations], [*done.converged]]
    for k in range(len(done), n):
        molecule, start = pairs.at(k)
        began = time.process_time()
        found, evaluations, converged = minimum(molecule, start)
        for column, x in zip(rest, (time.process_time() - began, evaluations, converged), strict=True):
            column.append(x)
        pos.append(found)
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
