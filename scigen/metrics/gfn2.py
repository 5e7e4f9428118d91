"""Descent to a GFN2-xTB minimum, by tblite. Bannwarth et al. 2019, doi:10.1021/acs.jctc.8b01176.

L-BFGS in coordinates in which a model Hessian of springs is the identity: stiff bonds and soft torsions then weigh
alike, and it takes about half the energies that plain Cartesian L-BFGS asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["BOHR", "GRADIENT", "SPRINGS", "Descent", "descend", "model_hessian"]

BOHR = 0.529177210903  # Å
GRADIENT = 1e-3  # Hartree/Bohr, norm over all coordinates: the `normal` level of the xtb program
SPRINGS = (0.4, 0.1, 0.01, 0.002)  # Hartree/Bohr^2 between atoms 1, 2, 3 and more bonds apart
_EVALUATIONS = 300


@dataclass(frozen=True)
class Descent:
    """Where a descent ended: `pos [N, 3]` Å, energies in Hartree at its start and there, how many it took, and whether
    the norm of the gradient fell below `GRADIENT`."""

    pos: np.ndarray
    start_energy: float
    energy: float
    evaluations: int
    converged: bool


def descend(z: np.ndarray, charge: float, start: np.ndarray, bond: np.ndarray) -> Descent:
    """From `start [N, 3]` Å of atomic numbers `z [N]` with total `charge`, closed shell; `bond [E, 2 or more]` by atom.

    Where the electrons do not settle on the way, the last geometry at which they did. Raises `ValueError` when they do
    not at the start.
    """
    from scipy.optimize import minimize
    from tblite.exceptions import TBLiteRuntimeError
    from tblite.interface import Calculator

    x0 = start.astype(np.float64) / BOHR
    engine = Calculator("GFN2-xTB", z.astype(int), x0, charge=float(charge))
    engine.set("verbosity", 0)
    values, vectors = np.linalg.eigh(model_hessian(x0, bond))
    scale = vectors / np.sqrt(np.maximum(values, 10 * SPRINGS[-1])) @ vectors.T
    last, evaluations, seen = None, 0, list[tuple[np.ndarray, float]]()

    def energy_and_gradient(y: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal last, evaluations
        x = x0 + (scale @ y).reshape(-1, 3)
        evaluations += 1
        engine.update(positions=x)
        last = engine.singlepoint(last)  # warm start from the previous charges
        energy, gradient = float(last.get("energy")), last.get("gradient").ravel()
        seen[1:] = [(x, energy)]  # the start stays first
        if np.linalg.norm(gradient) < GRADIENT:
            raise StopIteration
        return energy, scale.T @ gradient

    options = {"maxfun": _EVALUATIONS, "maxiter": _EVALUATIONS, "maxcor": 20, "gtol": 0.0, "ftol": 0.0}
    converged = False
    try:
        minimize(energy_and_gradient, np.zeros(x0.size), jac=True, method="L-BFGS-B", options=options)
    except StopIteration:
        converged = True
    except TBLiteRuntimeError as error:
        if not seen:
            raise ValueError(f"The electronic structure of the start does not converge ({error}).") from None
    found, energy = seen[-1]
    return Descent(found * BOHR, seen[0][1], energy, evaluations, converged)


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
