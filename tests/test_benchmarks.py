"""The benchmarks' own logic: the tables line up, nobody gets more evaluations."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from benchmarks import molecule_quality as quality
from scigen.oracle import gaussian
from scigen.process.affine import vp
from scigen.run.build import named_solver
from scigen.solver import sample
from scigen.solver.grids import late, shared


def row(label: str, validity: float | None, bond_w1: float) -> quality.Row:
    return quality.Row(label, 12.4, {"validity": validity, "bond_w1": bond_w1}, {"validity": 1.0, "bond_w1": 0.001})


def test_tables_line_up_and_end_with_the_data() -> None:
    lines = list(quality.table([row("a", 0.5, 0.01), row("b", None, 0.02)]))
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| a | 50.00 | 0.01 | 12 |" and "| - |" in lines[3]
    assert lines[-1].startswith("| QM9 test | 100.00 | 0.001 |")


@pytest.mark.parametrize("name", sorted({solver for _, solver in quality.COMBINATIONS} - {"tokens-pc"}))  # none here
def test_no_solver_gets_more_evaluations_than_the_rest(name: str) -> None:
    process, rng, calls = vp(), torch.Generator(), 0
    exact = gaussian(process, 0.0, 1.0)

    def counted(x_t: torch.Tensor, t: float, previous: object = None) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return exact(x_t, t)

    grid = shared(process, late(quality.intervals(name, 20)))
    sample(process, counted, torch.zeros(1, 2), grid, rng, named_solver(name))
    # What is left over, and first or last steps at an end of the log-SNR, may save an evaluation or two each.
    assert 16 <= calls <= 20


def test_the_card_gets_means_and_how_they_were_measured(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text('{"name": "x"}')
    mean = quality._mean([row("a", 0.5, 0.01), row("b", 1.0, 0.03)])
    quality._write_card(card, Namespace(n=10, seeds=2, solver="edm", evaluations=46), mean)
    read = json.loads(card.read_text())
    assert read["name"] == "x" and read["scores"]["seeds"] == [0, 1]
    assert read["scores"]["steps"] == 28, "one evaluation an interval, and 18 of them two"
    assert read["scores"]["mean"] == {"validity": 0.75, "bond_w1": 0.02}
