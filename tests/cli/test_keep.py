"""`scigen sample molecules --keep`: the fragment in every file of the run, and every way to ask for it wrongly."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scigen.domains.molecules.data import Molecule, load_fixture
from scigen.domains.molecules.sampler import Drawn
from scigen.io.sdf import read_sdf
from tests.cli.test_sample import exported, sample, sentence
from tests.domains.molecules.test_inpaint import written


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network that has seen 9, 12 and 15 atoms: its molecules are nonsense, their fragment is not."""
    return exported(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def ethyl(tmp_path: Path) -> Path:
    """Ethane without hydrogen 3, which sat on atom 1."""
    return written(tmp_path / "ethyl.sdf", "CC", lose=(2,), far=20.0)


def kept(path: Path, count: int) -> list[list]:
    """Elements, bonds and coordinates of the first `count` atoms of every record."""
    rows = []
    for record in read_sdf(path):
        mol = record.mol
        ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()]
        inner = sorted((min(i, j), max(i, j), order) for i, j, order in ends if max(i, j) < count)
        pos = mol.GetConformer().GetPositions()[:count].tolist()
        rows.append([[mol.GetAtomWithIdx(k).GetSymbol() for k in range(count)], inner, pos])
    return rows


def test_a_run_holds_the_fragment_where_it_lies(weights: Path, ethyl: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--keep", ethyl, "--index", 0, "--index", 5, "--repeats", 2, "--steps", 3, "--quiet"]
    assert sample(weights, out, *options) == 0
    (fragment,) = kept(ethyl, 7)
    assert kept(out / "molecules.sdf", 7) == [fragment, fragment], "coordinates to the last digit of the file"
    assert all(record.mol.GetNumAtoms() in (9, 12, 15) for record in read_sdf(out / "molecules.sdf"))
    assert (out / "molecules.sdf").read_text().count("> <kept_atoms>\n7\n") == 2
    card = json.loads((out / "run.json").read_text())["config"]
    sha = hashlib.sha256(ethyl.read_bytes()).hexdigest()
    facts = {"file": "ethyl.sdf", "sha256": sha, "atoms": 7, "ports": 1, "grow_at": [], "repeats": 2}
    assert card["keep"] == facts and card["only"] is None
    with Image.open(out / "molecules.png") as image:
        red, green, blue = np.asarray(image, float)[..., :3].transpose(2, 0, 1)
    assert ((red - green > 30) & (green - blue > 60)).sum() > 100, "the bonds of the fragment are amber"


def test_index_draws_that_grown_sample_alone(weights: Path, ethyl: Path, tmp_path: Path) -> None:
    both = sample(weights, tmp_path / "a", "--keep", ethyl, "--index", 1, "--index", 4, "--quiet")
    one = sample(weights, tmp_path / "b", "--keep", ethyl, "--index", 4, "--quiet", "--batch-size", 1)
    assert (both, one) == (0, 0)
    there, (here,) = list(read_sdf(tmp_path / "a/molecules.sdf")), read_sdf(tmp_path / "b/molecules.sdf")
    assert [a.GetSymbol() for a in here.mol.GetAtoms()] == [a.GetSymbol() for a in there[1].mol.GetAtoms()]
    apart = [mol.GetConformer().GetPositions() for mol in (here.mol, there[1].mol)]
    assert np.allclose(*apart, atol=0.02)


def test_sizes_leave_room_to_grow(weights: Path, ethyl: Path, tmp_path: Path) -> None:
    options = ["--keep", ethyl, "--quiet", *(f"--index={k}" for k in range(12))]
    assert sample(weights, tmp_path / "a", *options) == 0
    free = {record.mol.GetNumAtoms() for record in read_sdf(tmp_path / "a/molecules.sdf")}
    assert free == {9, 12, 15}, "atom counts follow the training set"
    assert sample(weights, tmp_path / "b", *options, "--n-atoms", "12-15", "--grow-at", "2") == 0
    assert {record.mol.GetNumAtoms() for record in read_sdf(tmp_path / "b/molecules.sdf")} == {12, 15}


class Fake:
    """Draws molecules of the fixture, every second one with a hydrogen's bond lost: two radicals."""

    def __init__(self) -> None:
        self.data = load_fixture()

    def __call__(self, network, plan, indices, seed, sizes, batch, device) -> Iterator[list[Drawn]]:
        for k in indices:
            m = self.data[k]
            yield [Drawn(k, m if k % 2 else Molecule(m.z, m.charge, m.pos, m.bond[:-1]))]


def test_no_radical_leaves_and_the_acceptance_is_told(
    weights: Path, ethyl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scigen.run.sample.draw_molecules", Fake())
    assert sample(weights, tmp_path / "out", "--keep", ethyl, "--n", 3) == 0
    assert "acceptance 50.0%" in " ".join(capsys.readouterr().out.split())
    with (tmp_path / "out" / "molecules.csv").open() as handle:
        assert [row["index"] for row in csv.DictReader(handle)] == ["1", "3", "5"]


def test_a_network_that_cannot_grow_it(
    weights: Path, ethyl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample(weights, tmp_path / "out", "--keep", ethyl) == 5
    assert "is valid; try more --steps or other --n-atoms" in sentence(capsys)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--grow-at 1", 2, "belong to --keep"),
        ("--repeats 3", 2, "belong to --keep"),
        ("--keep {ethyl} --grow-at one", 2, "give atom numbers of the file, such as 1,5"),
        ("--keep {ethyl} --grow-at 9", 2, "has atoms 1 to 7"),
        ("--keep {ethyl} --repeats 0", 2, "0"),
        ("--keep {ethyl} --n-atoms 7", 2, "keeps 7 atoms, which leaves none to grow among at most 7"),
        ("--keep missing.sdf", 3, "does not exist"),
    ],
)
def test_wrong_requests(
    options: str, code: int, words: str, weights: Path, ethyl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample(weights, tmp_path / "out", *options.format(ethyl=ethyl).split()) == code
    err = sentence(capsys)
    assert words in err and err.startswith("scigen: ") and err.count("\n") == 1


def test_a_fragment_as_large_as_the_model_goes(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = written(tmp_path / "large.sdf", "CCCCCC", lose=(7,))
    assert sample(weights, tmp_path / "out", "--keep", large) == 2
    assert "keeps 19 atoms, which leaves none to grow among at most 15" in sentence(capsys)
