"""Closed forms shipped with the library: exact beliefs, and the laws that solvers and bridges must reach."""

from scigen.oracle.belief import (
    condition,
    gaussian,
    gaussian_path,
    gaussian_variance,
    mixture,
    mixture_covariance,
    tokens,
)
from scigen.oracle.bridge import (
    Joint,
    bridge_belief,
    bridge_ends,
    bridge_marginal,
    fit_marginals,
    markovian,
    schroedinger,
)

__all__ = [
    "Joint",
    "bridge_belief",
    "bridge_ends",
    "bridge_marginal",
    "condition",
    "fit_marginals",
    "gaussian",
    "gaussian_path",
    "gaussian_variance",
    "markovian",
    "mixture",
    "mixture_covariance",
    "schroedinger",
    "tokens",
]
