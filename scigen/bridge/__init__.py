"""Learning a bridge: regression on pairs, and the iterations whose fixed point is the Schroedinger bridge or a flow
without crossings.
"""

from scigen.bridge.fit import Fit, ends_loss, linear_fit, matching_loss, moments, regression, residual_denoiser
from scigen.bridge.markov import Round, from_start, imf

__all__ = [
    "Fit",
    "Round",
    "ends_loss",
    "from_start",
    "imf",
    "linear_fit",
    "matching_loss",
    "moments",
    "regression",
    "residual_denoiser",
]
