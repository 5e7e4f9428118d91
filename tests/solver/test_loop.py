"""The reverse loop: what it passes on and what it refuses."""

from __future__ import annotations

import pytest
import torch

from scigen.process.affine import rectified
from scigen.solver import ancestral, ddim, dpmpp_2m, heun, predictor_corrector, sample
from scigen.solver.grids import uniform

FLOW = rectified()


def remember(log):
    def denoise(x_t, t, previous=None):
        log.append((t, previous))
        return torch.full_like(x_t, t)

    return denoise


@pytest.mark.parametrize("solver", [ancestral, ddim(), dpmpp_2m])
def test_each_belief_is_passed_to_the_next(solver):
    log = []
    _, belief = sample(FLOW, remember(log), torch.zeros(1, 2), uniform(4), torch.Generator(), solver)
    assert [t for t, _ in log] == [1.0, 0.75, 0.5, 0.25]
    assert log[0][1] is None and [float(p[0, 0]) for _, p in log[1:]] == [1.0, 0.75, 0.5]
    assert float(belief[0, 0]) == 0.25


def test_two_stage_solvers_pass_the_nearest_belief():
    log = []
    sample(FLOW, remember(log), torch.zeros(1, 2), uniform(2), torch.Generator(), heun)
    assert [(t, p if p is None else float(p[0, 0])) for t, p in log] == [(1.0, None), (0.5, 1.0), (0.5, 0.5)]
    log = []
    sample(FLOW, remember(log), torch.zeros(1, 2), uniform(2), torch.Generator(), predictor_corrector(dpmpp_2m, 2))
    assert [t for t, _ in log] == [1.0, 0.5, 0.5, 0.5]  # no correction where no noise is left


def test_a_multistep_solver_may_follow_another():
    """Memory from Heun lies at t itself: it is no history, not a division by zero."""
    x, memory = heun(FLOW, remember([]), torch.zeros(1, 2), 1.0, 0.5, torch.Generator(), None)
    x, _ = dpmpp_2m(FLOW, remember([]), x, 0.5, 0.25, torch.Generator(), memory)
    assert x.isfinite().all()


@pytest.mark.parametrize("grid", [[0.0, 1.0], [1.0, 0.5, 0.5, 0.0], [1.5, 0.0], [1.0, -0.1], [1.0, float("nan")]])
def test_grids_must_fall(grid):
    with pytest.raises(ValueError, match="must fall within"):
        sample(FLOW, remember([]), torch.zeros(1, 2), grid, torch.Generator())


@pytest.mark.parametrize("grid", [[], [1.0]])
def test_grids_need_two_times(grid):
    with pytest.raises(ValueError, match="at least two times"):
        sample(FLOW, remember([]), torch.zeros(1, 2), grid, torch.Generator())


def test_bad_settings_are_told():
    with pytest.raises(ValueError, match="`eta` must lie"):
        ddim(1.5)
    with pytest.raises(ValueError, match="`corrections` must be"):
        predictor_corrector(corrections=-1)
    with pytest.raises(ValueError, match="`snr`"):
        predictor_corrector(snr=0.0)


def test_what_solvers_declare():
    assert (ancestral.order, heun.order, heun.evaluations) == (1, 2, 2)
    corrected = predictor_corrector(heun, 3)
    assert (corrected.order, corrected.evaluations) == (1, 5)
    assert predictor_corrector(heun, 0).order == 2
    assert heun.__doc__ and heun.__name__ == "heun"
