"""Training objectives: how often each noise level is seen, how its error counts, and what is regressed on."""

from scigen.objective.times import even_times, late_times, level_times, lognormal_times
from scigen.objective.weights import edm, min_snr, sigmoid, snr, truncated_snr

__all__ = [
    "edm",
    "even_times",
    "late_times",
    "level_times",
    "lognormal_times",
    "min_snr",
    "sigmoid",
    "snr",
    "truncated_snr",
]
