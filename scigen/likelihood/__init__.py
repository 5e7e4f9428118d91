"""Likelihoods: exact by the probability-flow ODE, and bounds from the noise chain."""

from scigen.likelihood.divergence import exact, hutchinson, rademacher
from scigen.likelihood.ode import LogLikelihood, bits_per_dim, log_likelihood

__all__ = ["LogLikelihood", "bits_per_dim", "exact", "hutchinson", "log_likelihood", "rademacher"]
