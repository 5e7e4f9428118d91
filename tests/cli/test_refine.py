"""`scigen refine`: what it writes, what it refuses and says, and what `scigen sample --refine` reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from scigen.cli.app import run
from scigen.io.molecules import read_molecules, write_sdf, write_xyz
from scigen.metrics.energy import gfn2_relaxation
from scigen.metrics.superpose import rmsd, superpose
from scigen.run import weights as store
from tests.cli.test_sample import exported, sentence
from tests.domains.molecules.small import Near, untrained
from tests.io.seeds import embedded

SMILES = ("C[C@H](O)F", "c1ccoc1", "[NH3+]CC([O-])=O", "FC1CC1")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_file(tmp_path_factory.mktemp("weights"))


def untrained_file(folder: Path) -> Path:
    """An untrained network: it moves atoms by a tenth of an Å, and nobody knows where to."""
    path = folder / "molecules-refine.safetensors"
    shape = {"width": 32, "pair": 8, "message": 16, "vectors": 4, "heads": 4, "layers": 2}
    card = {"name": path.stem, "domain": "refine", "network": shape, "sizes": {"3": 1, "29": 1}}
    store.export(path, dict(untrained().named_parameters()), card)
    return path


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts are found in this process: a child costs seconds, and one test has it."""
    monkeypatch.setattr("scigen.run.refine.Deadline", Near)


@pytest.fixture
def molecules(tmp_path: Path) -> Path:
    mols = [embedded(smiles) for smiles in SMILES]
    items = [{"assay": f"{k}.5", "scigen_status": "of another day"} for k in range(len(mols))]
    write_sdf(tmp_path / "in.sdf", mols, items, [f"molecule {k}" for k in range(len(mols))])
    return tmp_path / "in.sdf"


def refine(weights: Path, file: Path, out: Path, *options: object) -> int:
    line = ["refine", file, "--out", out, "--weights", weights, "--steps", "2", "--draws", "2", *options]
    return run([str(part) for part in line])


def read(path: Path) -> list[Chem.Mol]:
    found = [record.mol for record in read_molecules(path)]
    assert all(mol is not None for mol in found)
    return found


def graph(mol: Chem.Mol) -> tuple[list, list]:
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()]
    return [(a.GetAtomicNum(), a.GetFormalCharge()) for a in mol.GetAtoms()], bonds


def positions(mol: Chem.Mol) -> np.ndarray:
    return mol.GetConformer().GetPositions()


def test_a_file_and_what_becomes_of_it(
    weights: Path, molecules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refine(weights, molecules, tmp_path / "out.sdf") == 0
    out, err = capsys.readouterr()
    assert "4 refined" in out and "displacement" in out and "uncertainty" in out and err == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.sdf", "out.sdf"]
    for k, (before, after) in enumerate(zip(read(molecules), read(tmp_path / "out.sdf"), strict=True)):
        assert graph(before) == graph(after)
        assert after.GetProp("_Name") == f"molecule {k}" and after.GetProp("assay") == f"{k}.5"
        assert after.GetProp("scigen_status") == "refined" and after.GetProp("scigen_start") == "MMFF94"
        moved = rmsd(positions(after), positions(before))
        assert float(after.GetProp("scigen_displacement")) == pytest.approx(moved, abs=2e-4) and moved > 0.02
        laid = rmsd(superpose(positions(after), positions(before)), positions(before))
        assert laid == pytest.approx(moved, abs=2e-4), "superposed on the input"
        assert 0 < float(after.GetProp("scigen_uncertainty")) < 1


@pytest.mark.usefixtures("near")
def test_the_same_whatever_the_batch_and_the_chunk(
    weights: Path, molecules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = ("--engine", "sde", "--n", 3, "--quiet")
    assert refine(weights, molecules, tmp_path / "a.sdf", *how) == 0
    monkeypatch.setattr("scigen.run.refine.CHUNK", 3)
    assert refine(weights, molecules, tmp_path / "b.sdf", *how, "--batch-size", 1) == 0
    assert refine(weights, molecules, tmp_path / "c.sdf", *how, "--seed", 1) == 0
    first, second, third = (read(tmp_path / name) for name in ("a.sdf", "b.sdf", "c.sdf"))
    assert len(first) == 3 * len(SMILES)
    assert [m.GetProp("scigen_draw") for m in first] == ["0", "1", "2"] * len(SMILES)
    assert [m.GetProp("_Name") for m in first] == [f"molecule {k}" for k in range(len(SMILES)) for _ in range(3)]
    assert max(np.abs(positions(x) - positions(y)).max() for x, y in zip(first, second, strict=True)) < 3e-4
    assert min(rmsd(positions(x), positions(y)) for x, y in zip(first, third, strict=True)) > 1e-3
    assert min(rmsd(positions(first[k]), positions(first[k + 1])) for k in range(0, 12, 3)) > 1e-3


@pytest.mark.usefixtures("near")
def test_smiles_become_molecules_of_the_same_hand(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("".join(f"{s} number {k}\n" for k, s in enumerate((*SMILES, "C[C@@H](O)F"))))
    assert refine(weights, tmp_path / "in.smi", tmp_path / "out.sdf", "--quiet") == 0
    for smiles, mol in zip((*SMILES, "C[C@@H](O)F"), read(tmp_path / "out.sdf"), strict=True):
        Chem.SanitizeMol(mol)
        Chem.AssignStereochemistryFrom3D(mol)
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
        assert mol.GetProp("scigen_start") == "ETKDG, MMFF94" and mol.GetProp("_Name").startswith("number")


@pytest.mark.usefixtures("near")
def test_xyz_gets_its_bonds_and_lands_where_it_lay(weights: Path, tmp_path: Path) -> None:
    mol = embedded("CC=O")
    moved = Chem.Mol(mol)
    moved.GetConformer().SetPositions(positions(mol) + [50.0, 0, 0])
    write_xyz(tmp_path / "in.xyz", [moved], ["aldehyde"])
    assert refine(weights, tmp_path / "in.xyz", tmp_path / "out.sdf", "--quiet") == 0
    (found,) = read(tmp_path / "out.sdf")
    assert {(min(i, j), max(i, j), b) for i, j, b in graph(found)[1]} == set(graph(mol)[1])
    assert np.abs(positions(found).mean(0) - positions(moved).mean(0)).max() < 1e-3
    assert found.GetProp("_Name") == "aldehyde"


def mixed(path: Path) -> Path:
    """Two good records, one with sulfur, one too large, and one that is cut."""
    mols = [embedded(s) for s in ("CO", "CS", "C" * 11, "CN")]
    write_sdf(path, mols, [{} for _ in mols], ["a", "b", "c", "d"])
    path.write_text(path.read_text() + "cut\n\n\n 99 99  0\n$$$$\n")
    return path


@pytest.mark.usefixtures("near")
def test_what_cannot_be_refined_is_listed_with_the_reason(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = mixed(tmp_path / "in.sdf")
    assert refine(weights, file, tmp_path / "out.sdf", "--json") == 4
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["refined"], document["kept"], document["failed"]) == (2, 0, 3)
    assert document["request"]["steps"] == 2 and len(document["weights"]["sha256"]) == 64
    assert "record 1: S with charge +0" in err and "record 2: 35 atoms" in err and err.count("\n") == 3
    assert [m.GetProp("_Name") for m in read(tmp_path / "out.sdf")] == ["a", "d"]
    rows = [json.loads(line) for line in (tmp_path / "out.errors.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == [1, 2, 4] and [row["title"] for row in rows] == ["b", "c", "cut"]


@pytest.mark.usefixtures("near")
def test_kept_molecules_pass_through_as_they_are(weights: Path, tmp_path: Path) -> None:
    file = mixed(tmp_path / "in.sdf")
    text = file.read_text()
    file.write_text(text[: text.index("cut\n")])
    (tmp_path / "out.errors.jsonl").write_text("of another day")
    assert refine(weights, file, tmp_path / "out.sdf", "--on-unknown", "keep", "--quiet") == 0
    assert not (tmp_path / "out.errors.jsonl").exists()
    before, after = read(file), read(tmp_path / "out.sdf")
    status = [m.GetProp("scigen_status") for m in after]
    assert [s.split(":")[0] for s in status] == ["refined", "kept", "kept", "refined"]
    assert "S with charge" in status[1] and "35 atoms" in status[2]
    assert all(np.array_equal(positions(before[k]), positions(after[k])) for k in (1, 2))
    assert not after[1].HasProp("scigen_displacement")


@pytest.mark.usefixtures("near")
def test_a_smiles_without_a_geometry_cannot_be_kept(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.smi").write_text("CO\nCS\n")
    assert refine(weights, tmp_path / "in.smi", tmp_path / "out.sdf", "--on-unknown", "keep", "--quiet") == 4
    assert "record 1: S with" in sentence(capsys) and len(read(tmp_path / "out.sdf")) == 1


@pytest.mark.usefixtures("near")
def test_nothing_to_write_leaves_everything_as_it_was(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.smi").write_text("CS\nCCl\n")
    (tmp_path / "out.sdf").write_text("of another day")
    assert refine(weights, tmp_path / "in.smi", tmp_path / "out.sdf") == 3
    assert "none of 2 records can be refined (the first: S with charge" in sentence(capsys)
    assert (tmp_path / "out.sdf").read_text() == "of another day"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.smi", "out.sdf"]


@pytest.mark.usefixtures("near")
def test_a_file_may_be_refined_in_place_and_from_where_it_lies(weights: Path, molecules: Path) -> None:
    before = read(molecules)
    how = ("--start", "given", "--draws", 0, "--quiet")
    assert refine(weights, molecules, molecules, *how) == 0
    for x, y in zip(before, read(molecules), strict=True):
        assert graph(x) == graph(y) and y.GetProp("scigen_start") == "given" and not y.HasProp("scigen_uncertainty")


@pytest.mark.usefixtures("near")
def test_the_default_name_lies_beside_the_input(weights: Path, molecules: Path) -> None:
    assert run(["refine", str(molecules), "--weights", str(weights), "--steps", "1", "--draws", "0", "--quiet"]) == 0
    assert len(read(molecules.with_name("in-refined.sdf"))) == len(SMILES)


def test_a_start_that_takes_too_long_costs_its_molecule_alone(
    weights: Path, molecules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Near):
        def each(self, items: Sequence[object], batch: int):
            for k, outcome in enumerate(super().each(items, batch)):
                yield type(outcome)(error="timed out after 10 s") if k == 1 else outcome

    monkeypatch.setattr("scigen.run.refine.Deadline", Slow)
    assert refine(weights, molecules, tmp_path / "out.sdf", "--on-unknown", "keep", "--quiet") == 0
    status = [m.GetProp("scigen_status") for m in read(tmp_path / "out.sdf")]
    assert status == ["refined", "kept: timed out after 10 s", "refined", "refined"]


@pytest.mark.usefixtures("near")
def test_an_inverted_molecule_is_written_as_it_lay(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def inverted(network, starts, keys, walk, *_):
        return [-m.pos[None].astype(np.float64).repeat(walk.draws, 0) for m in starts]

    monkeypatch.setattr("scigen.run.refine.refine", inverted)
    (tmp_path / "in.smi").write_text("C[C@H](O)F\nCCO\n")
    assert refine(weights, tmp_path / "in.smi", tmp_path / "out.sdf") == 0
    assert "1 refined, 1 kept" in capsys.readouterr().out
    mol, _ = read(tmp_path / "out.sdf")
    assert mol.GetProp("scigen_status") == "kept: the handedness of atom 2 would change"
    Chem.SanitizeMol(mol)
    Chem.AssignStereochemistryFrom3D(mol)
    assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == "C[C@H](O)F"


@pytest.mark.usefixtures("near")
def test_weights_with_nan_are_a_numeric_error(
    molecules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(tmp_path / "nan.safetensors", "vector_out.weight", domain="refine", sizes={"3": 1, "29": 1})
    assert refine(path, molecules, tmp_path / "out.sdf") == 5
    assert "None of 4 refined geometries is finite" in sentence(capsys) and not (tmp_path / "out.sdf").exists()


@pytest.mark.usefixtures("near")
def test_gfn2_refines_what_the_bridge_cannot(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    write_sdf(tmp_path / "in.sdf", [embedded("CS")])
    assert refine(Path("none"), tmp_path / "in.sdf", tmp_path / "out.sdf", "--engine", "gfn2", "--quiet") == 0
    (mol,) = read(tmp_path / "out.sdf")
    assert gfn2_relaxation(mol) < 0.05 and not mol.HasProp("scigen_uncertainty")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--engine odee", 2, "'ode'"),
        ("--start mmf", 2, "'mmff'"),
        ("--on-unknown drop", 2, "refuse"),
        ("--n 0", 2, "0"),
        ("--steps 0", 2, "0"),
        ("--draws -1", 2, "-1"),
        ("--draws 1", 2, "at least 2 draws"),
        ("--n 3", 2, "use --engine sde"),
        ("--n 3 --engine gfn2", 2, "use --engine sde"),
        ("--out x.xyz", 2, "end the name in .sdf"),
        ("--device tpu", 2, "choose auto, cpu or cuda"),
        ("--weights nothing", 3, "No weights 'nothing'"),
        ("--out no/such/folder/x.sdf", 6, "create the folder first"),
    ],
)
def test_wrong_requests(
    options: str, code: int, words: str, weights: Path, molecules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refine(weights, molecules, molecules.with_name("out.sdf"), *options.split()) == code
    err = sentence(capsys)
    assert words in err and err.startswith("scigen: ") and err.count("\n") == 1
    assert [path.name for path in molecules.parent.iterdir()] == ["in.sdf"]


@pytest.mark.parametrize(("name", "words"), [("none.sdf", "does not exist"), ("x.pdb", "names no molecule format")])
def test_wrong_files(name: str, words: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refine(weights, tmp_path / name, tmp_path / "out.sdf") == 3
    assert words in sentence(capsys) and not list(tmp_path.iterdir())


def test_weights_that_do_not_refine(molecules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = exported(tmp_path / "sampler.safetensors")
    assert refine(path, molecules, tmp_path / "out.sdf") == 3
    assert "are for molecules, not for refinement" in sentence(capsys)
    path = exported(tmp_path / "bare.safetensors", domain="refine", sizes={})
    assert refine(path, molecules, tmp_path / "out.sdf") == 3
    assert "has no `sizes`" in sentence(capsys)
