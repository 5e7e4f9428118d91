"""Likelihoods: exact by the probability-flow ODE, and bounds from the noise chain."""

from scigen.likelihood.divergence import exact, hutchinson, rademacher
from scigen.likelihood.elbo import Bound, chain_bound, continuous_bound
from scigen.likelihood.ode import LogLikelihood, bits_per_dim, log_likelihood

__all__ = [
    "Bound",
    "LogLikelihood",
    "bits_per_dim",
    "chain_bound",
    "continuous_bound",
    "exact",
    "hutchinson",
    "log_likelihood",
    "rademacher",
]
