"""`scigen score refine`: pairing, numbers that are known, thresholds, reports and exit codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolTransforms

from scigen.cli.app import run as scigen
from scigen.metrics.energy import gfn2_available

SMILES = ("CCO", "CC(=O)N", "C[C@H](F)O")


def molecules() -> list[Chem.Mol]:
    out = []
    for smiles in SMILES:
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        rdDistGeom.EmbedMolecule(mol, randomSeed=2)
        mol.SetProp("_Name", smiles)
        out.append(mol)
    return out


def moved(mol: Chem.Mol, change: np.ndarray | float, **properties: str) -> Chem.Mol:
    """A copy at `change` times its coordinates, or with an array added to them."""
    copy = Chem.Mol(mol)
    pos = copy.GetConformer().GetPositions()
    copy.GetConformer().SetPositions(pos * change if isinstance(change, float) else pos + change)
    for name, value in properties.items():
        copy.SetProp(name, value)
    return copy


def write(path: Path, mols: Sequence[Chem.Mol]) -> Path:
    with Chem.SDWriter(str(path)) as writer:
        for mol in mols:
            writer.write(mol)
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("refine") / "reference.sdf", molecules())


def document(capsys: pytest.CaptureFixture[str], *args: object, code: int = 0) -> dict:
    assert scigen(["score", "refine", *map(str, args), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def values(found: dict) -> dict[str, float]:
    return {s["name"]: s["value"] for s in found["scores"]}


def test_a_turned_copy_scores_zero_and_a_mirror_image_does_not(reference, tmp_path, capsys):
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    for name, matrix in (("turned", turn), ("mirrored", np.diag([1, 1, -1.0]))):
        mols = molecules()
        for mol in mols:
            mol.GetConformer().SetPositions(mol.GetConformer().GetPositions() @ matrix.T + 3)
        found = values(document(capsys, write(tmp_path / "a.sdf", mols), "--reference", reference))
        assert found["bond"] < 2e-4  # what four decimals of an SDF leave
        assert found["matched"] == 1
        assert (found["rmsd"] < 2e-4) == (name == "turned")


def test_a_swollen_copy_is_off_by_what_it_swelled(reference, tmp_path, capsys):
    path = write(tmp_path / "a.sdf", [moved(m, 1.01) for m in molecules()])
    found = document(capsys, path, "--reference", reference, "--start", reference)
    conformer, bonds = molecules()[0].GetConformer(), molecules()[0].GetBonds()
    lengths = [rdMolTransforms.GetBondLength(conformer, b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in bonds]
    assert values(found)["angle"] < 0.02
    assert values(found)["harmed"] == 0
    assert found["scores"][3]["name"] == "bond"
    assert found["scores"][3]["baseline"] == pytest.approx(0, abs=1e-9)
    assert scigen(["score", "refine", str(path), "--reference", str(reference), "--out", str(tmp_path / "o")]) == 0
    rows = list(csv.DictReader((tmp_path / "o" / "molecules.csv").open()))
    assert float(rows[0]["bond"]) == pytest.approx(0.01 * np.mean(lengths), abs=1e-4)
    assert [row["title"] for row in rows] == list(SMILES)
    assert json.loads((tmp_path / "o" / "scores.json").read_text())["molecules"] == 3


def test_several_draws_give_the_mean_and_the_best(reference, tmp_path, capsys):
    draws = [moved(m, 1 + 0.01 * (d + 1), scigen_draw=str(d)) for m in molecules() for d in range(3)]
    found = document(capsys, write(tmp_path / "a.sdf", draws), "--reference", reference)
    assert (found["molecules"], found["geometries"]) == (3, 9)
    found = values(found)
    assert found["bond"] == pytest.approx(2 * found["best_bond"], rel=0.01)
    assert found["rmsd"] == pytest.approx(2 * found["best_rmsd"], rel=0.01)


def test_missing_molecules_are_paired_by_their_graph_and_reported(reference, tmp_path, capsys):
    first, _, last = molecules()
    path = write(tmp_path / "a.sdf", [first, last])
    found = document(capsys, path, "--reference", reference, code=4)
    assert values(found)["matched"] == pytest.approx(2 / 3)
    assert values(found)["rmsd"] < 1e-9
    assert found["errors"] == [
        {"file": str(reference), "record": 1, "reason": "the reference has no geometry to compare"}
    ]


def test_another_molecule_is_an_error_of_its_record(reference, tmp_path, capsys):
    first, second, last = molecules()
    renumbered = Chem.RenumberAtoms(second, list(range(second.GetNumAtoms()))[::-1])
    cut = Chem.RWMol(last)
    cut.RemoveBond(0, 1)
    found = document(capsys, write(tmp_path / "a.sdf", [first, renumbered, cut]), "--reference", reference, code=4)
    assert found["molecules"] == 1
    reasons = {error["record"]: error["reason"] for error in found["errors"]}
    assert "elements" in reasons[1]
    assert "bonds" in reasons[2]


def test_an_unreadable_record_keeps_its_place(reference, tmp_path, capsys):
    path = write(tmp_path / "a.sdf", molecules())
    parts = path.read_text().split("$$$$\n")
    path.write_text("$$$$\n".join([parts[0], parts[1].replace("V2000", "V2X00"), *parts[2:]]))
    found = document(capsys, path, "--reference", reference, code=4)
    assert found["molecules"] == 2
    assert values(found)["rmsd"] < 1e-9
    assert [error["record"] for error in found["errors"]] == [1]


def test_refused_as_a_whole(reference, tmp_path, capsys):
    more = write(tmp_path / "more.sdf", [*molecules(), *molecules()])
    assert scigen(["score", "refine", str(more), "--reference", str(reference)]) == 3
    assert "6 molecules and 3 references" in capsys.readouterr().err
    other = write(tmp_path / "other.sdf", molecules()[::-1])
    assert scigen(["score", "refine", str(other), "--reference", str(reference), "--max", "rmsd=1"]) in (1, 4)
    smiles = tmp_path / "a.smi"
    smiles.write_text("CCO\nCC(=O)N\n")
    assert scigen(["score", "refine", str(smiles), "--reference", str(reference)]) == 3
    assert "no geometry can be held against its reference" in capsys.readouterr().err


def test_thresholds_decide_the_exit_code(reference, tmp_path, capsys):
    path = write(tmp_path / "a.sdf", [moved(m, 1.01) for m in molecules()])
    line = ["score", "refine", str(path), "--reference", str(reference), "--junit", str(tmp_path / "j.xml")]
    assert scigen([*line, "--max", "bond=0.1", "--min", "matched=100%", "--quiet"]) == 0
    assert scigen([*line, "--max", "bond_p99=0.001"]) == 1
    captured = capsys.readouterr()
    assert "MISSED: bond_p99" in captured.err
    assert "heavy_rmsd" in captured.out
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("failures") == "1"
    assert scigen([*line, "--max", "bonds=1"]) == 2
    assert "did you mean 'bond'" in capsys.readouterr().err
    assert scigen([*line, "--with", "gfn3"]) == 2


@pytest.mark.skipif(not gfn2_available(), reason="tblite is not installed")
def test_gfn2_energy_above_the_minimum(reference, tmp_path, capsys):
    found = values(document(capsys, reference, "--reference", reference, "--with", "gfn2"))
    assert 0 < found["gfn2_relaxation"] < 50
