"""The refinement benchmark's own logic: the order of molecules, the model Hessian, the table, the coverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gfn2_optima, refine_calibration, refine_quality, unpaired_bridge
from scigen.domains.molecules.data import load_fixture
from scigen.domains.molecules.refine.pairs import PairSet
from scigen.metrics.energy import gfn2_available
from scigen.metrics.gfn2 import SPRINGS, model_hessian
from scigen.metrics.refinement import Errors


@pytest.fixture(scope="module")
def pairs() -> PairSet:
    """The fixture, each start 1 % too large."""
    molecules = load_fixture()
    return PairSet(molecules, molecules.pos * np.float32(1.01))


def test_molecules_are_drawn_from_the_test_split_alike_whatever_the_number(pairs: PairSet) -> None:
    many, few = gfn2_optima.drawn(pairs, 50), gfn2_optima.drawn(pairs, 10)
    assert (many.molecules.split == 2).all()
    assert many.molecules.index[:10].tolist() == few.molecules.index.tolist()
    assert (np.diff(many.molecules.index) < 0).any()


def test_the_model_hessian_knows_translations_and_springs() -> None:
    x, bond = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0]]), np.array([[0, 1, 1], [1, 2, 1]])
    hessian = model_hessian(x, bond)
    assert hessian == pytest.approx(hessian.T)
    assert hessian @ np.tile(np.eye(3), (3, 1)) == pytest.approx(np.zeros((9, 3)))
    stretch = np.zeros(9)
    stretch[0] = 1  # atom 0 along its bond, and at 45 degrees to the spring across the angle
    assert stretch @ hessian @ stretch == pytest.approx(SPRINGS[0] + SPRINGS[1] / 2)


@pytest.mark.skipif(not gfn2_available(), reason="tblite is not installed")
def test_minima_are_resumed_and_never_of_other_molecules(pairs: PairSet, tmp_path: Path) -> None:
    path, some = tmp_path / "o.npz", gfn2_optima.drawn(pairs, 2)
    first = gfn2_optima.extend(gfn2_optima.load_optima(path), some.subset(np.array([0])), path)
    both = gfn2_optima.extend(gfn2_optima.load_optima(path), some, path)
    assert both.converged.all()
    assert np.array_equal(both.pos[: len(first.pos)], first.pos)
    assert len(gfn2_optima.load_optima(path).pos) == len(some.start)
    with pytest.raises(ValueError, match="other molecules"):
        gfn2_optima.extend(both, some.subset(np.array([1, 0])), path)


def test_the_table_lines_up_and_counts_harm(pairs: PairSet) -> None:
    start = [Errors(0.2, 0.1, 0.01, 1.0, float("nan"))] * 3 + [Errors(0.2, 0.1, 0.01, 1.0, 5.0)]
    worse = [*start[:3], Errors(0.4, 0.1, 0.01, 1.0, 5.0)]
    lines = list(refine_quality.table([refine_quality.Row("a", start), refine_quality.Row("b", worse, 2.0)]))
    assert len({line.count("|") for line in lines}) == 1
    assert "| 0.2 (0.2 to 0.2) |" in lines[2]
    assert lines[3].startswith("| b |")
    assert "25.00 %" in lines[3]
    assert lines[3].endswith("| 2.00 |")


def test_starts_that_are_too_large_are_measured_so(pairs: PairSet) -> None:
    few = pairs.subset(np.arange(5))
    for e, m in zip(refine_quality.measure(few, [m.pos for m in refine_quality.starts(few)]),
                    refine_quality.starts(few), strict=True):  # fmt: skip
        apart = np.linalg.norm(m.pos[m.bond[:, 0]] - m.pos[m.bond[:, 1]], axis=1)
        assert e.bond == pytest.approx(0.01 / 1.01 * apart.mean(), rel=1e-3)
        assert e.angle == pytest.approx(0, abs=1e-2)


def test_coverage_finds_draws_that_are_right_and_draws_that_are_too_sure(pairs: PairSet, tmp_path: Path) -> None:
    few, rng = pairs.subset(np.arange(40)), np.random.default_rng(0)
    around = [few.at(k)[0].pos + rng.normal(scale=0.02, size=few.at(k)[0].pos.shape) for k in range(len(few))]
    draws = [x + rng.normal(scale=0.02, size=(9, *x.shape)) for x in around]
    right = refine_calibration.coverage(few, draws)
    sure = refine_calibration.coverage(few, [x.mean(0) + 0.3 * (x - x.mean(0)) for x in draws])
    assert np.abs(right["bonds"].observed - right["bonds"].nominal).max() < 0.1
    assert right["bonds"].z == pytest.approx(1, abs=0.2)  # Student's t of 8 degrees alone gives 1.07
    assert (sure["bonds"].observed < right["bonds"].observed - 0.05).all()
    assert sure["bonds"].z > 2
    refine_calibration.draw_reliability(right, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


def test_the_unpaired_table_is_in_physical_units() -> None:
    truth = torch.randn(200, 3, generator=unpaired_bridge.rng(0))
    start, right = truth + torch.tensor([1.0, 0.0, 2.0]), truth.clone()
    lines = list(
        unpaired_bridge.table(truth, {"start": (start, start), "right": (right, right)}, start - start.mean(0))
    )
    assert lines[2].startswith("| start | 20.0, 0.0, 6.00 |")  # one unit of 20 mÅ, two of 3 degrees
    assert lines[2].endswith("| 20.0, 0.0, 6.00 |")
    assert lines[3].startswith("| right | 0.0, 0.0, 0.00 |")
    assert len({line.count("|") for line in lines}) == 1
