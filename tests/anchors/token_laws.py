"""Laws of token chains by enumeration: no draw, no Monte Carlo (float64)."""

from __future__ import annotations

from unittest import mock

import torch

from scigen.process.affine import rectified
from scigen.process.categorical import absorbing, keep_of, marginal, uniform_tokens
from scigen.process.free import Free

KEEP = keep_of(rectified())  # 1 - t


def kinds(keep=KEEP):
    """Chains over three data classes; the absorbing one has a fourth, the mask."""
    return {
        "uniform": uniform_tokens(3, keep),
        "marginal": marginal(torch.tensor([5.0, 1.0, 3.0]), keep),
        "absorbing": absorbing(3, keep),
    }


# Three tokens of three classes, every one of them tied to the others.
JOINT = torch.rand(3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) ** 2
JOINT /= JOINT.sum()


def padded(process, law):
    """A table over data classes `[k, ...]` as one over all K classes of the process: no weight on a mask."""
    return torch.nn.functional.pad(law, (0, len(process.m) - len(law)) * law.dim())


def states(classes, count):
    """All tokens `[classes^count, count]`, the last one fastest."""
    return torch.cartesian_prod(*[torch.arange(classes)] * count).reshape(-1, count)


def product(each):
    """Per-token laws `[S, n, K]` to the law over all states `[S, K^n]`."""
    out = each[:, 0]
    for i in range(1, each.shape[1]):
        out = (out[:, :, None] * each[:, i, None, :]).flatten(1)
    return out


def noised(process, joint, t):
    """The law over all states of x_t when x0 follows the table `joint` (n axes of K classes)."""
    for axis in range(joint.dim()):
        joint = process.law(joint.movedim(axis, -1), t).movedim(-1, axis)
    return joint.reshape(-1)


def law_of_chain(process, denoise, joint, grid, law):
    """Law over all states at the end of a chain with per-token moves `law(process, x_t, belief, t, s)`.

    Starts from the exact marginal of grid[0], so that what is seen is the error of the moves.
    """
    x, p = states(len(process.m), joint.dim()), noised(process, joint, float(grid[0]))
    for t, s in zip(grid, grid[1:]):
        belief = denoise(x, float(t)).nan_to_num()  # states of no probability have no belief
        p = p @ product(law(process, x, belief, float(t), float(s)))
    return p


def law_of_rule(process, denoise, joint, grid, rule):
    """The same for a rule that draws a guess for every token and then decides: all guesses are enumerated."""
    k, n = len(process.m), joint.dim()
    x, guesses, p = states(k, n), states(k, n), noised(process, joint, float(grid[0]))
    for t, s in zip(grid, grid[1:]):
        belief = denoise(x, float(t)).nan_to_num()
        every_x, every_guess = (y.reshape(-1, n) for y in torch.broadcast_tensors(x[:, None], guesses[None]))
        with mock.patch("scigen.solver.unmasking.draw", return_value=every_guess):
            end = rule(
                process,
                every_x,
                belief.repeat_interleave(len(guesses), 0),
                float(t),
                float(s),
                torch.Generator(),
                Free(torch.ones_like(every_x, dtype=torch.bool)),
            )
        flow = (p[:, None] * product(belief)).reshape(-1)
        index = (end * k ** torch.arange(n - 1, -1, -1)).sum(-1)
        p = torch.zeros_like(p).index_add(0, index, flow)
    return p


def distance(p, q):
    """Total variation."""
    return float((p.reshape(-1) - q.reshape(-1)).abs().sum() / 2)
