"""Score matching without noise levels: half the squared distance to the data's score, up to a constant of the data.

E |s - grad log p|^2 / 2 = E[|s|^2 / 2 + div s] + constant, by parts. Hyvarinen 2005; Song et al.,
arXiv:1905.07088; the denoising form is `regression.denoising_loss` (Vincent 2011).
"""

from __future__ import annotations

from torch import Tensor

from scigen.likelihood.divergence import Divergence, Field, exact

__all__ = ["implicit"]


def implicit(score: Field, x: Tensor, divergence: Divergence = exact) -> Tensor:
    """|s(x)|^2 / 2 + div s(x), `[B]`; with `hutchinson` probes it is sliced score matching (its reduced-variance form).

    Differentiable in the parameters of `score`. It can be negative: the constant E|grad log p|^2 / 2 is left out.
    """
    s, div = divergence(score, x)
    return s.square().flatten(1).sum(1) / 2 + div
