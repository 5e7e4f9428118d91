"""Couplings: which source point is paired with which data point.

A coupling takes data x0 and drawn source points x1 (unit-variance noise, or points of another data set) and returns the
x1 to use. Only the independent one keeps E[x0 | x_t] a function of (x_t / scale, logsnr), hence one network usable
under every affine process: the coupling belongs to the description of trained weights.
"""

from scigen.coupling.entropic import sinkhorn, sinkhorn_plan
from scigen.coupling.pairs import Coupling, from_model, independent, paired
from scigen.coupling.transport import batch_transport, optimal_transport

__all__ = [
    "Coupling",
    "batch_transport",
    "from_model",
    "independent",
    "optimal_transport",
    "paired",
    "sinkhorn",
    "sinkhorn_plan",
]
