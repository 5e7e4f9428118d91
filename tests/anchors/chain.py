"""The exact law of a whole run affine in its start and in every draw: memory, stages and all, no Monte Carlo."""

from __future__ import annotations

from unittest import mock

import torch

from scigen.solver import sample


def law_of_run(solver, process, denoise, grid, mean, var, shape=(1, 1)):
    """Mean and variance at the end of a run started at N(mean, var), entry by entry, `shape` of one sample `[1, ...]`.

    Every normal is a leaf of the graph, left at zero: the value is the mean, and the squared gradients of an entry
    with respect to the start (times var) and to the draws add up to its variance.
    """
    draws = []

    def leaf(law, shape, node_axes, dtype, device, rng):
        draws.append(torch.zeros(shape, dtype=torch.float64, requires_grad=True))
        return draws[-1]

    start = torch.as_tensor(mean, dtype=torch.float64).expand(shape).clone().requires_grad_()
    var = torch.as_tensor(var, dtype=torch.float64).expand(shape)
    with mock.patch("scigen.state._draw", leaf):
        end, _ = sample(process, denoise, start, grid, torch.Generator(), solver)
    out = torch.zeros(shape, dtype=torch.float64)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in shape)).reshape(-1, len(shape)).tolist():
        first, *rest = torch.autograd.grad(end[tuple(index)], [start, *draws], retain_graph=True, allow_unused=True)
        out[tuple(index)] = (first**2 * var).sum() + sum((g**2).sum() for g in rest if g is not None)
    return end.detach(), out
