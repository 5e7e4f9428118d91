"""`scigen sample molecules`: what it leaves, what reproduces what, and every way to ask for the wrong thing."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scigen.cli.app import run
from scigen.cli.sample import GRIDS, PROCESSES, SOLVERS
from scigen.domains.molecules.data import Molecule, load_fixture
from scigen.domains.molecules.sampler import Drawn, Plan, draw_molecules
from scigen.io.sdf import read_sdf
from scigen.run import weights as store
from scigen.run.build import affine_process, named_grid, named_solver, network
from scigen.run.report import held_folder
from scigen.run.schema import NetworkConfig
from tests.run.tiny import SHAPE

SIZES = {"9": 3, "12": 5, "15": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network: its molecules are nonsense, its files are not."""
    return exported(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def exported(path: Path, spoil: str | None = None, **card: object) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = network(NetworkConfig(**SHAPE))
    tensors = dict(net.named_parameters())
    if spoil:
        tensors[spoil] = torch.full_like(tensors[spoil], float("nan"))
    facts = {"name": path.stem, "domain": "molecules", "network": SHAPE, "sizes": SIZES, "logsnr_range": [-10, 10]}
    store.export(path, tensors, {**facts, **card})
    return path


def sample(weights: Path, out: Path, *options: object) -> int:
    """Two steps of two molecules, unless said otherwise."""
    line = ["sample", "molecules", "--weights", weights, "--out", out, "--n", "2", "--steps", "2", *options]
    return run([str(part) for part in line])


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def test_a_run_and_what_it_leaves(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(weights, tmp_path, "--n", 5, "--steps", 3, "--seed", 7) == 0
    out, err = capsys.readouterr()
    assert "5 molecules" in out and "QM9 test" in out and err == ""
    records = list(read_sdf(tmp_path / "molecules.sdf"))
    assert len(records) == 5
    for k, record in enumerate(records):
        assert record.mol is not None and record.mol.GetNumAtoms() in (9, 12, 15)
        assert record.mol.GetConformer().Is3D() and record.mol.GetNumBonds() > 0
        assert not any(a.GetNumImplicitHs() or a.GetNumExplicitHs() for a in record.mol.GetAtoms())
        text = (tmp_path / "molecules.sdf").read_text()
        assert f"scigen seed 7 index {k}\n" in text and text.count("> <index>") == 5
    with (tmp_path / "molecules.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["index"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [int(row["n_atoms"]) for row in rows] == [r.mol.GetNumAtoms() for r in records]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["drawn"] == 5 and "validity" in {s["name"] for s in scores["scores"]}
    card = json.loads((tmp_path / "run.json").read_text())
    assert card["seed"] == 7 and card["config"]["steps"] == 3 and len(card["weights"]["sha256"]) == 64
    assert (tmp_path / "errors.jsonl").read_text() == ""
    with Image.open(tmp_path / "molecules.png") as image:
        assert image.format == "PNG"


def test_json_is_one_document(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(weights, tmp_path, "--json", "--n-atoms", "12") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kept"], document["drawn"], document["out"]) == (2, 2, str(tmp_path))
    assert [r.mol.GetNumAtoms() for r in read_sdf(tmp_path / "molecules.sdf")] == [12, 12]


def drawn(weights: Path, indices: list[int], batch: int, **plan: object) -> dict[int, Molecule]:
    loaded = store.read(str(weights))
    sizes = {int(k): v for k, v in SIZES.items()}
    how = Plan(**{"affine": affine_process("flow"), "solver": named_solver("ancestral"), "steps": 6, **plan})
    groups = draw_molecules(loaded.network, how, indices, 7, sizes, batch)
    return {d.index: d.molecule for group in groups for d in group if d.molecule is not None}


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_a_sample_depends_on_seed_and_index_alone(weights: Path, batch: int) -> None:
    alone = drawn(weights, [3], 1)[3]
    among = drawn(weights, list(range(6)), batch)[3]
    assert np.array_equal(alone.z, among.z) and np.array_equal(alone.bond, among.bond)
    # bf16 sums round differently in another shape of batch; coordinates agree far below a bond's width
    assert np.allclose(alone.pos, among.pos, atol=0.02)
    assert not np.allclose(alone.pos[:9], drawn(weights, [4], 1)[4].pos[:9], atol=0.02)


def test_index_draws_that_sample_alone(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(weights, tmp_path / "all", "--n", 4, "--seed", 7, "--quiet", "--batch-size", 3) == 0
    assert sample(weights, tmp_path / "one", "--index", 3, "--index", 3, "--seed", 7, "--quiet") == 0
    whole, (one,) = list(read_sdf(tmp_path / "all/molecules.sdf")), read_sdf(tmp_path / "one/molecules.sdf")
    assert one.mol.GetNumAtoms() == whole[3].mol.GetNumAtoms()
    there, here = (m.GetConformer().GetPositions() for m in (whole[3].mol, one.mol))
    assert np.allclose(there, here, atol=0.02)
    assert [a.GetSymbol() for a in one.mol.GetAtoms()] == [a.GetSymbol() for a in whole[3].mol.GetAtoms()]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_process_runs_under_every_solver(weights: Path, process: str, solver: str) -> None:
    how = {"affine": affine_process(process), "solver": named_solver(solver, 0.5), "steps": 3}
    molecules = drawn(weights, [0, 1], 2, **how)
    assert sorted(molecules) == [0, 1]
    assert all(np.isfinite(m.pos).all() and len(m.z) in (9, 12, 15) for m in molecules.values())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("process", ["flow", "ve"])
def test_every_grid_runs(weights: Path, process: str, grid: str) -> None:
    times = named_grid(grid)(7)
    assert times[0] == 1 and times[-1] == 0 and len(times) == 8
    how = {"affine": affine_process(process), "grid": named_grid(grid), "steps": 7}
    assert sorted(drawn(weights, [0, 1], 2, **how)) == [0, 1]


class Fake:
    """Draws molecules of the fixture: the samples `broken` have lost a bond, those `bad` are not finite."""

    def __init__(self, broken: int = 0, bad: tuple[int, ...] = ()) -> None:
        self.broken, self.bad, self.data = broken, bad, load_fixture()

    def __call__(self, network, plan, indices, seed, sizes, batch, device) -> Iterator[list[Drawn]]:
        for k in indices:
            molecule = self.data[k]
            if self.broken and k % self.broken == 0:
                carbon = int(np.flatnonzero(molecule.z == 6)[0])
                extra = [[i, carbon, 3] for i in range(len(molecule.z)) if i != carbon]
                molecule = replace(molecule, bond=np.array([sorted(e[:2]) + e[2:] for e in extra], np.uint8))
            yield [Drawn(k, None, "non-finite coordinates") if k in self.bad else Drawn(k, molecule)]


def test_only_valid_draws_until_n_are_there(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scigen.run.sample.draw_molecules", Fake(broken=3))
    assert sample(weights, tmp_path, "--n", 6, "--only", "valid") == 0
    assert "6 molecules" in (out := capsys.readouterr().out) and "9 drawn, acceptance 66.7%" in " ".join(out.split())
    with (tmp_path / "molecules.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [int(r["index"]) for r in rows] == [1, 2, 4, 5, 7, 8] and {r["valid"] for r in rows} == {"1"}
    validity = next(s for s in json.loads((tmp_path / "scores.json").read_text())["scores"] if s["name"] == "validity")
    assert validity["value"] == pytest.approx(6 / 9), "scores are of all drawn"


def test_only_valid_gives_up_on_a_model_that_makes_none(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample(weights, tmp_path, "--only", "valid") == 5
    assert "None of 6 samples is valid" in sentence(capsys)


def test_only_valid_keeps_what_it_has(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scigen.run.sample.draw_molecules", Fake(broken=2))
    monkeypatch.setattr("scigen.run.sample.MAX_ROUNDS", 2)
    assert sample(weights, tmp_path, "--n", 6, "--only", "valid") == 4
    assert "only 4 of the 6 valid molecules asked for" in sentence(capsys)
    assert len(list(read_sdf(tmp_path / "molecules.sdf"))) == 4


def test_samples_that_are_not_finite_are_named(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scigen.run.sample.draw_molecules", Fake(bad=(1, 3)))
    assert sample(weights, tmp_path, "--n", 5) == 4
    assert "sample 1: non-finite coordinates" in sentence(capsys)
    errors = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert errors == [{"index": k, "reason": "non-finite coordinates"} for k in (1, 3)]
    assert len(list(read_sdf(tmp_path / "molecules.sdf"))) == 3


@pytest.mark.parametrize(
    ("layer", "field"),
    [("vector_out.weight", "coordinates"), ("atom_out.bias", "tokens"), ("bond_out.2.bias", "bonds")],
)
def test_weights_with_nan_are_no_molecules(
    layer: str, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = exported(tmp_path / "nan.safetensors", layer)
    assert sample(spoilt, tmp_path / "out", "--n", 3) == 5
    assert "None of 3 samples is finite" in sentence(capsys)
    errors = [json.loads(line) for line in (tmp_path / "out" / "errors.jsonl").read_text().splitlines()]
    assert sorted(e["index"] for e in errors) == [0, 1, 2] and all(field in e["reason"] for e in errors)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--n 0", 2, "0"),
        ("--n many", 2, "'many'"),
        ("--steps 1", 2, "1"),
        ("--seed -1", 2, "-1"),
        ("--batch-size 0", 2, "0"),
        ("--solver eular", 2, "'euler'"),
        ("--process vpp", 2, "'vp'"),
        ("--only good", 2, "the one filter is 'valid'"),
        ("--only valid --index 3", 2, "use one of the two"),
        ("--eta 0.5", 2, "--eta belongs to --solver ddim"),
        ("--solver ddim --eta 2", 2, "2"),
        ("--n-atoms none", 2, "give a number such as 18"),
        ("--n-atoms 0", 2, "such as 18"),
        ("--n-atoms 20-10", 2, "such as 18"),
        ("--n-atoms 99", 2, "has seen 9 to 15 atoms"),
        ("--n-atoms 10", 2, "has seen 9 to 15 atoms"),
        ("--device tpu", 2, "choose auto, cpu or cuda"),
        ("--weights nothing", 3, "No weights 'nothing'"),
        ("--weights molecule-qm9", 3, "'molecules-qm9'"),
    ],
)
def test_wrong_requests(
    options: str, code: int, words: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample(weights, tmp_path / "out", *options.split()) == code
    err = sentence(capsys)
    assert words in err and err.startswith("scigen: ") and err.count("\n") == 1


def test_cuda_without_cuda(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert sample(weights, tmp_path, "--device", "cuda") == 2
    assert "sees no GPU" in sentence(capsys)


@pytest.mark.parametrize("sizes", [None, {}, {"many": 3}, {"-5": 3}, [1, 2], {"9": None}])
def test_cards_without_sizes(sizes: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = exported(tmp_path / "a.safetensors", sizes=sizes)
    assert sample(path, tmp_path / "out") == 3
    assert "has no `sizes`" in sentence(capsys)


def test_weights_of_another_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = exported(tmp_path / "a.safetensors", domain="refine")
    assert sample(path, tmp_path / "out") == 3
    assert "are for refine" in sentence(capsys)


def test_a_folder_that_cannot_be_written(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("here first")
    assert sample(weights, tmp_path / "file") == 6
    assert "is a file, and a folder is needed" in sentence(capsys)
    assert sample(weights, tmp_path / "file" / "below") == 6
    assert sample(weights, Path("/proc/nowhere")) == 6
    assert (tmp_path / "file").read_text() == "here first"


def test_a_folder_that_another_run_holds(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scigen.run.sample.draw_molecules", None)  # refused before anything is drawn
    with held_folder(tmp_path):
        assert sample(weights, tmp_path) == 3
    assert "another run is writing" in sentence(capsys)
