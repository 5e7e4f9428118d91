"""The solver benchmark's own logic: nobody exceeds the budget, and the hand-written loops are our DDIM."""

from __future__ import annotations

import pytest
import torch

from benchmarks import solvers
from scigen.domains.molecules.process import blank, molecule_process
from scigen.process.affine import rectified
from scigen.solver import ddim, heun, sample
from scigen.solver.grids import uniform
from tests.anchors.problems import EDM, on_mixture, starts


def test_errors_are_measured_within_the_budget():
    runs = {name: (cost, run) for name, cost, run in solvers.ours()}
    for name in ("scigen Heun", "scigen UniPC-3 noise"):
        cost, run = runs[name]
        errors = solvers.errors(EDM, run, cost, [8, 16])
        assert errors[1] < errors[0] / 3
    with pytest.raises(AssertionError, match="evaluations of 8"):
        solvers.errors(EDM, runs["scigen Heun"][1], 1, [8])
    assert len(runs) == len(solvers.OURS) and solvers.OURS["Heun"] is heun


def test_the_loops_by_hand_are_ddim():
    flow, grid, x = rectified(), uniform(6), starts(rectified(), 1.0, 4)
    ours, _ = sample(flow, on_mixture(flow), x, grid, torch.Generator(), ddim())
    assert (solvers.by_hand(flow, grid, on_mixture(flow), x) - ours).abs().max() < 1e-12
    process, state = molecule_process(flow), blank([3, 2])
    belief = {n: torch.full((*state[n].shape, len(process.parts[n].m)), 1.0) for n in ("atom", "bond")}
    belief["pos"] = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    a = solvers.by_hand_tokens(grid, belief, state, torch.Generator().manual_seed(1))
    b, _ = sample(process, lambda *_: belief, state, grid, torch.Generator().manual_seed(1), ddim())
    assert all((a[n] - b[n]).abs().max() < 1e-6 for n in ("pos", "atom", "bond"))


def test_overhead_is_told_as_the_evaluation_that_hides_it(capsys):
    solvers.show("nothing", {"by hand": 0.1, "ours": 0.2}, "by hand")
    assert "| ours | 0.200 | 1.9 ms |" in capsys.readouterr().out  # 0.1 over 5 % of 2.0 in all
