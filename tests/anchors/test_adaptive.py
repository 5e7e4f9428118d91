"""Adaptive Runge-Kutta on the probability-flow ODE: the error follows the tolerance, each sample by itself."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.errors import NumericError
from scigen.oracle import gaussian, gaussian_path
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import rk45
from scigen.solver.runge_kutta import dormand_prince
from scigen.state import State, center
from tests.anchors.problems import PROCESSES, count, fitted, level_grid, on_mixture, path_ends, starts

VP, FLOW = PROCESSES["vp"], PROCESSES["flow"]


@pytest.mark.parametrize("name", ["vp", "ve", "flow"])
def test_error_follows_the_tolerance(name):
    """Against SciPy's DOP853 on the mixture; every process walks the same arc, with the same evaluations."""
    affine, errors, tols = PROCESSES[name], [], (1e-4, 1e-6, 1e-8)
    first, last = level_grid(affine, 1)
    for tol in tols:
        denoise = count(on_mixture(affine))
        run = rk45(affine, denoise, starts(affine, first), first, last, tol, tol)
        errors.append(float((run.x / affine.alpha(last) - path_ends()).norm(dim=1).mean()))
        assert run.evaluations == denoise.calls
        print(f"{name} tol {tol:.0e}: error {errors[-1]:.1e}, {run.evaluations} evaluations")
    assert errors[0] < 2e-3 and errors[1] < 2e-5 and errors[2] < 2e-7
    assert 0.8 < fitted(tols, errors) < 1.3


def test_evaluations_on_a_gaussian():
    mean, var = torch.tensor([0.5, -0.3, 0.2]).double(), torch.tensor([0.49, 1.2, 0.8]).double()
    x = starts(VP, 1.0, 12).reshape(8, 3)
    for tol, most in ((1e-5, 44), (1e-9, 206)):  # what SciPy's RK45 spends in t
        run = rk45(VP, gaussian(VP, mean, var), x, 1.0, 1e-3, tol, tol)
        assert run.evaluations <= most
        assert (run.x - gaussian_path(VP, mean, var, x, 1.0, 1e-3)).abs().max() < 10 * tol


@pytest.mark.parametrize("name", PROCESSES)
def test_whole_runs_reach_the_belief(name):
    affine = PROCESSES[name]
    run = rk45(affine, on_mixture(affine), starts(affine, 1.0, 8))
    assert run.x.isfinite().all()
    if float(affine.sigma(0.0)) == 0:
        assert (run.x - run.belief).abs().max() < 1e-12
        nearly = rk45(affine, on_mixture(affine), starts(affine, 1.0, 8), stop=1e-7, rtol=1e-8, atol=1e-8)
        assert (run.x - nearly.x).abs().max() < 3e-3
    else:
        assert (run.belief - on_mixture(affine)(run.x, 0.0)).abs().max() < 1e-9


def test_up_and_down_again():
    x = starts(FLOW, 0.9, 8)
    down = rk45(FLOW, on_mixture(FLOW), x, 0.9, 0.1, 1e-9, 1e-9)
    up = rk45(FLOW, on_mixture(FLOW), down.x, 0.1, 0.9, 1e-9, 1e-9)
    assert (up.x - x).abs().max() < 1e-6


def test_a_sample_does_not_depend_on_its_batch():
    x = starts(FLOW, 1.0, 16)
    whole, alone = rk45(FLOW, on_mixture(FLOW), x), rk45(FLOW, on_mixture(FLOW), x[5:6])
    assert (whole.x[5:6] - alone.x).abs().max() < 1e-12
    assert whole.evaluations > alone.evaluations  # the slowest sample sets the count


def molecule_like(batch):
    mask = torch.tensor([[True] * 4, [True] * 3 + [False]])[torch.arange(batch) % 2]
    pos = torch.randn(batch, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return State({"pos": center(pos, mask), "atom": torch.ones(batch, 4, dtype=torch.long)}, mask)


def test_states_keep_their_constraints_and_symmetry():
    project = lambda x: x.replace(pos=center(x["pos"], x.mask))  # noqa: E731
    process, state = Product({"pos": FLOW}, project), molecule_like(2)

    def denoise(x, t, previous=None):
        return {"pos": center(torch.tanh(x["pos"].norm(dim=-1, keepdim=True)) * x["pos"], x.mask)}

    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    run = rk45(process, denoise, state, start=0.9)
    turned = rk45(process, denoise, state.replace(pos=state["pos"] @ turn), start=0.9)
    assert (turned.x["pos"] - run.x["pos"] @ turn).abs().max() < 1e-12
    assert turned.evaluations == run.evaluations
    assert run.x["pos"].sum(1).abs().max() < 1e-12 and run.x["pos"][1, 3].abs().max() == 0
    assert set(run.belief) == {"pos"} and (run.x["atom"] == 1).all()


def test_single_precision():
    x = starts(VP, 1.0, 8)
    single, double = (rk45(VP, on_mixture(VP), y, rtol=1e-3, atol=1e-3) for y in (x.float(), x))
    assert single.x.dtype == torch.float32
    assert (single.x - double.x).abs().max() < 1e-3


def test_what_is_refused():
    x = molecule_like(2)
    tokens = Product({"pos": FLOW, "atom": uniform_tokens(3, keep_of(FLOW))})
    with pytest.raises(ValueError, match=r"\['atom'\] are drawn"):
        rk45(tokens, lambda *_: {}, x)
    with pytest.raises(ValueError, match="one affine process"):
        rk45(Product({"pos": FLOW, "atom": VP}), lambda *_: {}, x)
    for start, stop in [(0.0, 1.0), (0.5, 0.5), (1.2, 0.0), (1.0, -0.1)]:
        with pytest.raises(ValueError, match="`start` and `stop`"):
            rk45(FLOW, on_mixture(FLOW), starts(FLOW, 1.0, 2), start, stop)
    with pytest.raises(NumericError, match="cannot be followed"):
        rk45(FLOW, lambda y, *_: y * torch.nan, starts(FLOW, 1.0, 2))


def test_dormand_prince_is_of_fifth_order():
    """dy/du = y cos u is e^(sin u): over steps all twice as small the error falls by 2^6."""
    errors = []
    for h in (0.2, 0.1):
        y, slope, calls = dormand_prince(
            lambda y, u: y * u.cos()[:, None], torch.ones(1, 1, dtype=torch.float64), 0.0, h, 1e9, 1e9
        )
        errors.append(abs(float(y) - math.exp(math.sin(h))))
    assert 5.5 < fitted((0.2, 0.1), errors) < 6.5
