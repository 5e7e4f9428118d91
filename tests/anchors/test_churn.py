"""Churn: algorithm 2 of EDM on its own clock, exact laws after a lift, tokens included."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.process.categorical import keep_of, marginal
from scigen.process.product import Product
from scigen.solver import adams, churn, heun, sample
from scigen.solver.grids import uniform
from scigen.solver.loop import Memory, declare
from scigen.state import State
from tests.anchors.problems import (
    EDM,
    PROCESSES,
    law_of_move,
    marginal_moments,
    on_gaussian,
    on_mixture,
    starts,
)  # fmt: skip

FLOW = PROCESSES["flow"]


@declare(order=1)
def stay(process, denoise, x_t, t, s, rng, memory):
    """Report where the lift went."""
    stay.seen = (t, memory)
    return x_t, Memory(None, t)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_lift_has_the_marginal_of_its_level(name):
    affine, t = PROCESSES[name], 0.5
    gain, offset, noise = law_of_move(churn(10, 3.0, solver=stay), affine, on_gaussian(affine), t, 0.1, 1)
    u, _ = stay.seen
    assert math.exp(float(affine.half_logsnr(t) - affine.half_logsnr(u))) == pytest.approx(1.3, abs=1e-12)
    (mean, var), (mean_u, var_u) = marginal_moments(affine, t), marginal_moments(affine, u)
    assert abs(gain * mean + offset - mean_u) < 1e-12 and abs(gain**2 * var + noise - var_u) < 1e-12 * var_u
    wide = law_of_move(churn(10, 3.0, inflate=1.003, solver=stay), affine, on_gaussian(affine), t, 0.1, 1)
    assert wide[2] == pytest.approx(1.003**2 * noise, rel=1e-9)


def test_edms_own_step():
    """sigma' = sigma (1 + gamma), x' = x + sqrt(sigma'^2 - sigma^2) S z, then Heun in sigma."""
    steps, amount, t, s = 50, 10.0, 0.02, 0.015
    x, belief = starts(EDM, t), on_mixture(EDM)
    out, _ = churn(steps, amount, inflate=1.003)(EDM, belief, x, t, s, torch.Generator().manual_seed(5), None)
    sigma, target = 80 * t, 80 * s
    lifted = sigma * (1 + amount / steps)
    z = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(5))
    y = x + (lifted**2 - sigma**2) ** 0.5 * 1.003 * z
    slope = (y - belief(y, lifted / 80)) / lifted
    euler = y + (target - lifted) * slope
    second = (euler - belief(euler, s)) / target
    assert (out - (y + (target - lifted) * (slope + second) / 2)).abs().max() < 1e-11


def test_nothing_is_lifted_outside_its_band_or_without_an_amount():
    x, rng = starts(FLOW, 0.5), torch.Generator().manual_seed(0)
    plain = heun(FLOW, on_mixture(FLOW), x, 0.5, 0.4, rng, None)[0]
    for solver in (churn(10, 0.0), churn(10, 5.0, band=(2.0, 9.0))):
        assert (solver(FLOW, on_mixture(FLOW), x, 0.5, 0.4, rng, None)[0] == plain).all()
    assert (churn(10, 5.0)(FLOW, on_mixture(FLOW), x, 0.5, 0.4, rng, None)[0] != plain).any()


def test_the_cap_and_the_end_of_the_process():
    churn(10, 1000.0, solver=stay)(FLOW, None, starts(FLOW, 0.5), 0.5, 0.4, torch.Generator(), None)
    assert stay.seen[0] / (1 - stay.seen[0]) == pytest.approx(2**0.5)
    ve = PROCESSES["ve"]
    churn(10, 1000.0, solver=stay)(ve, None, starts(ve, 0.99), 0.99, 0.9, torch.Generator(), None)
    assert stay.seen[0] == pytest.approx(1.0)


def test_a_lifted_path_has_no_history():
    x, memory = starts(FLOW, 0.5), Memory(starts(FLOW, 0.6), 0.6, starts(FLOW, 0.6))
    churn(10, 3.0, solver=stay)(FLOW, None, x, 0.5, 0.4, torch.Generator(), memory)
    u, left = stay.seen
    assert left.history(u, 3) == [] and left.belief is memory.belief


def test_tokens_are_renoised_to_the_same_time():
    m = torch.tensor([0.5, 0.3, 0.2])
    process = Product({"pos": FLOW, "atom": marginal(m, keep_of(FLOW))})
    atom, mask = torch.zeros(1, 200_000, dtype=torch.long), torch.ones(1, 200_000, dtype=torch.bool)
    x = State({"pos": torch.zeros(1, 200_000, 1), "atom": atom}, mask)
    out, _ = churn(10, 3.0, solver=stay)(process, None, x, 0.5, 0.4, torch.Generator().manual_seed(0), None)
    keep = float(keep_of(FLOW)(torch.tensor(stay.seen[0])) / 0.5)  # keep_u / keep_t
    seen = torch.bincount(out["atom"][0], minlength=3) / 200_000
    assert (seen - (keep * torch.tensor([1.0, 0, 0]) + (1 - keep) * m)).abs().max() < 5e-3


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("inner", [heun, adams(3)])
def test_whole_runs_are_finite(name, inner):
    affine, solver = PROCESSES[name], churn(12, 4.0, solver=inner)
    rng = torch.Generator().manual_seed(0)
    x, belief = sample(affine, on_mixture(affine), starts(affine, 1.0), uniform(12), rng, solver)
    assert x.isfinite().all() and belief.isfinite().all()


def test_what_is_refused():
    for bad in ({"steps": 0}, {"amount": -1.0}, {"band": (1.0, 0.5)}, {"inflate": 0.0}):
        with pytest.raises(ValueError, match="`churn` needs"):
            churn(**{"steps": 10, **bad})
