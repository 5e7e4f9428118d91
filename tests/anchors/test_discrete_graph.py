"""A law over labelled graphs of three nodes, whole: DiGress's token chains and GDSS's joint diffusion recover it.

Node types and edges are tied, all 64 graphs are enumerated, and the belief about (nodes, edges) is exact.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from scigen.process.affine import rectified
from scigen.process.categorical import absorbing, keep_of, marginal
from scigen.process.product import Product
from scigen.solver import ancestral, dpmpp_2m, sample
from scigen.solver.discrete import renoise_law, tau_leap, token_corrector, with_tokens
from scigen.solver.grids import logsnr_uniform, uniform
from scigen.state import State, mirror
from tests.anchors.problems import fitted
from tests.anchors.token_laws import distance, product

N = 3
I, J = torch.triu_indices(N, N, 1)
BITS = torch.cartesian_prod(*[torch.arange(2)] * 6)  # three node types, then the three edges
NODES, EDGES = BITS[:, :3], torch.zeros(64, N, N, dtype=torch.long)
EDGES[:, I, J] = EDGES[:, J, I] = BITS[:, 3:]
PLACES = 2 ** torch.arange(5, -1, -1)
FLOW = rectified()
KEEP = keep_of(FLOW)


def energy():
    """Like types bond, a triangle is dear, type 1 is rare: unchanged by any order of the nodes."""
    like = (NODES[:, I] == NODES[:, J]).double()
    return (EDGES[:, I, J] * (1.5 * like - 1)).sum(1) - 2 * EDGES[:, I, J].prod(1) - 0.7 * NODES.sum(1)


LAW = torch.softmax(energy(), 0)
NODE_SHARE = torch.stack([LAW @ (NODES[:, 0] == k).double() for k in range(2)])
EDGE_SHARE = torch.stack([LAW @ (EDGES[:, 0, 1] == k).double() for k in range(2)])


def symmetric(x: State) -> State:
    return x.replace(edge=mirror(x["edge"]))


def digress():
    """Marginal transitions: each field is redrawn from the data's own frequencies. arXiv:2209.14734"""
    return Product({"node": marginal(NODE_SHARE, KEEP), "edge": marginal(EDGE_SHARE, KEEP)}, symmetric)


def masked():
    return Product({"node": absorbing(2, KEEP), "edge": absorbing(2, KEEP)}, symmetric)


def exact(process):
    """p(node, edge | x_t) by Bayes over the 64 graphs, edges counted once."""

    def denoise(x_t, t, previous=None):
        chance = LAW.clone()
        for name, table, once in (("node", NODES, lambda y: y), ("edge", EDGES, lambda y: y[:, I, J])):
            part = process.parts[name]
            there = part.law(torch.nn.functional.one_hot(once(table), len(part.m)).double(), t)  # [64, tokens, K]
            here = torch.nn.functional.one_hot(once(x_t[name]), len(part.m)).double()
            chance = chance * torch.einsum("stk,btk->bst", there, here).prod(-1)
        p = chance / chance.sum(-1, keepdim=True)
        return {
            name: torch.einsum(
                "bs,s...->b...", p, torch.nn.functional.one_hot(table, len(process.parts[name].m)).double()
            )
            for name, table in (("node", NODES), ("edge", EDGES))
        }

    return denoise


def everything(classes=2):
    """All x_t of three node and three edge tokens, as one batch."""
    bits = torch.cartesian_prod(*[torch.arange(classes)] * 6)
    edge = torch.zeros(len(bits), N, N, dtype=torch.long)
    edge[:, I, J] = edge[:, J, I] = bits[:, 3:]
    return State({"node": bits[:, :3], "edge": edge}, torch.ones(len(bits), N, dtype=torch.bool))


def transition(process, move, x, belief):
    """One reverse move as a matrix over all graphs: nodes and the upper triangle are drawn independently."""
    laws = {name: move(part, x[name], belief[name]) for name, part in process.parts.items()}
    return product(torch.cat([laws["node"], laws["edge"][:, I, J]], 1))


def chain(process, steps, sweeps=0):
    """The exact law of graphs at the end of a DiGress chain from its source, with `sweeps` corrections a step."""
    x, denoise, grid = everything(), exact(process), uniform(steps)
    p = torch.cat([part.m.expand(3, 2) for part in process.parts.values()]).gather(1, BITS.T).prod(0)
    for t, s in itertools.pairwise(grid):
        p = p @ transition(process, lambda part, y, b: part.posterior(y, b, t, s), x, denoise(x, t))  # noqa: B023
        for _ in range(sweeps if s > 0 else 0):
            p = p @ transition(process, lambda part, y, b: renoise_law(part, y, b, s, 0.3), x, denoise(x, s))  # noqa: B023
    return p


def relabelled(order):
    """Where each graph goes when its nodes are put in another order."""
    edges = EDGES[:, order][:, :, order]
    return (torch.cat([NODES[:, order], edges[:, I, J]], 1) * PLACES).sum(1)


def test_the_law_is_invariant_and_tied():
    for order in itertools.permutations(range(N)):
        assert (LAW[relabelled(list(order))] - LAW).abs().max() < 1e-16
    apart = NODE_SHARE[NODES].prod(1) * EDGE_SHARE[BITS[:, 3:]].prod(1)
    assert distance(LAW, apart) > 0.2  # drawing every token by itself would not do


def test_digress_recovers_the_law():
    """First order in the number of steps, towards the law itself; every order of the nodes is equally likely."""
    process, steps = digress(), (16, 32, 64)
    laws = {n: chain(process, n) for n in steps}
    errors = [distance(laws[n], LAW) for n in steps]
    print("digress", errors, fitted(steps, errors), distance(2 * laws[64] - laws[32], LAW))
    assert -1.1 < fitted(steps, errors) < -0.9
    assert distance(2 * laws[64] - laws[32], LAW) < 5e-4  # extrapolated to infinitely many
    for order in itertools.permutations(range(N)):
        assert (laws[16][relabelled(list(order))] - laws[16]).abs().max() < 1e-15


def test_corrections_bring_few_steps_closer():
    """The same order, with a smaller error: sweeps at a level mend what parallel draws broke on the way to it."""
    steps = (8, 16, 32)
    plain, corrected = ([distance(chain(digress(), n, sweeps), LAW) for n in steps] for sweeps in (0, 4))
    print("plain", plain, "4 sweeps a step", corrected, fitted(steps, corrected))
    assert all(c < 0.8 * p for c, p in zip(corrected, plain))
    assert -1.2 < fitted(steps, corrected) < -0.8


def test_marginal_transitions_start_nearer_than_uniform_ones():
    """DiGress's reason: at the same steps the redraw law of the data leaves less to undo."""
    even = Product({"node": marginal(torch.ones(2), KEEP), "edge": marginal(torch.ones(2), KEEP)}, symmetric)
    assert distance(chain(digress(), 16), LAW) < distance(chain(even, 16), LAW)


def chi_squared(x, law):
    index = (torch.cat([x["node"], x["edge"][:, I, J]], 1) * PLACES).sum(1)
    seen = torch.bincount(index, minlength=64)
    return float(((seen - len(index) * law) ** 2 / (len(index) * law)).sum())


def drawn(process, solver, steps, count=8_000):
    x = State(
        {"node": torch.zeros(count, N, dtype=torch.long), "edge": torch.zeros(count, N, N, dtype=torch.long)},
        torch.ones(count, N, dtype=torch.bool),
    )
    x = process.source(x, torch.Generator().manual_seed(0))
    out, _ = sample(process, exact(process), x, uniform(steps), torch.Generator().manual_seed(1), solver)
    assert torch.equal(out["edge"], out["edge"].mT) and not out["edge"].diagonal(dim1=1, dim2=2).any()
    assert out["node"].max() < 2 and out["edge"].max() < 2
    return out


FAR = 63 + 5 * np.sqrt(126)  # five standard deviations of chi squared with 63 degrees of freedom


def test_samples_follow_the_law_of_their_chain():
    """The sampler with its projection draws what the matrices say, and at 8 steps can be told from the target."""
    out = drawn(digress(), ancestral, 8)
    assert chi_squared(out, chain(digress(), 8)) < FAR < chi_squared(out, LAW)


@pytest.mark.parametrize("solver", [with_tokens(ancestral, tau_leap), token_corrector()], ids=["leap", "corrected"])
def test_masked_graphs_follow_the_law(solver):
    """Absorbing nodes and edges, 30 steps: symmetric, no mask left, and 1500 graphs cannot tell the law from ours."""
    assert chi_squared(drawn(masked(), solver, 30, 1500), LAW) < FAR


def gdss_belief(x_t, t, previous=None):
    """The exact mean of nodes and edges as +-1 under Gaussian noise, over the 64 graphs."""
    a, s = FLOW.alpha(t), FLOW.sigma(t).clamp(min=1e-100)
    signs = 2.0 * BITS.double() - 1  # graphs are of one length: their inner products decide
    x = torch.cat([x_t["node"], x_t["edge"][:, I, J]], 1).double()
    mean = (torch.softmax(LAW.log() + a / s**2 * (x @ signs.T), -1) @ signs).float()
    edge = torch.zeros_like(x_t["edge"])
    edge[:, I, J] = edge[:, J, I] = mean[:, 3:]
    return {"node": mean[:, :3], "edge": edge}


def test_joint_diffusion_of_nodes_and_edges_recovers_the_law():
    """GDSS: one affine process on node features and on symmetric adjacency, tied by the belief. arXiv:2202.02514"""
    process, count = Product({"node": FLOW, "edge": FLOW}, symmetric), 6_000
    x = State({"node": torch.zeros(count, N), "edge": torch.zeros(count, N, N)}, torch.ones(count, N, dtype=torch.bool))
    x = process.source(x, torch.Generator().manual_seed(0))
    out, _ = sample(process, gdss_belief, x, logsnr_uniform(FLOW, 40, -8, 8), torch.Generator(), dpmpp_2m)
    assert torch.equal(out["edge"], out["edge"].mT) and out["node"].abs().sub(1).abs().max() < 1e-3
    assert chi_squared(State({name: (y > 0).long() for name, y in out.fields.items()}, out.mask), LAW) < FAR
