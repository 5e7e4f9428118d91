"""Likelihoods: exact by the probability-flow ODE, and bounds from the noise chain."""

from scigen.likelihood.divergence import exact, hutchinson
from scigen.likelihood.ode import LogLikelihood, bits_per_dim, given, log_likelihood
from scigen.likelihood.space import Space, centred, whole

__all__ = [
    "LogLikelihood",
    "Space",
    "bits_per_dim",
    "centred",
    "exact",
    "given",
    "hutchinson",
    "log_likelihood",
    "whole",
]
