"""The table of scores: counts by hand, both rules, sets without 3D, references, and the QM9 row."""

import json

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from scigen.cache import cache_dir
from scigen.domains.molecules import reference as ref
from scigen.domains.molecules.catalogue import CATALOGUE, EXTRAS, entry
from scigen.domains.molecules.checks import TABLE_COLUMNS, check_molecules, score_molecules, table_row
from scigen.domains.molecules.codec import to_rdkit
from scigen.domains.molecules.data import fixture_path, load_fixture, load_qm9
from scigen.errors import InputError, UsageError
from scigen.metrics.chem import canonical


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=5)
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=2000)
    return mol


def five_bonds() -> Chem.Mol:
    mol = Chem.RWMol(embedded("CC"))
    mol.AddBond(0, 7, Chem.BondType.SINGLE)
    return mol.GetMol()


@pytest.fixture(scope="module")
def mols():
    return [embedded("CCO"), embedded("CCO"), embedded("CC(=O)N"), five_bonds(), embedded("O.CC")]


@pytest.fixture(scope="module")
def checks(mols):
    return check_molecules(mols)


@pytest.fixture(scope="module")
def scores(mols, checks):
    return {score.name: score for score in score_molecules(mols, checks, records=6)}


def test_counts_by_hand(scores):
    expected = {"readable": 5 / 6, "validity": 4 / 5, "connectivity": 3 / 4, "uniqueness": 3 / 4, "vu": 3 / 5,
                "strict_molecule_stability": 4 / 5}  # fmt: skip
    assert {name: scores[name].value for name in expected} == pytest.approx(expected)
    assert (scores["uniqueness"].n, scores["vu"].n) == (4, 5)


def test_the_bad_molecule_is_good_by_distances(checks):
    assert not checks[3]["valid"] and "valence" in checks[3]["reason"] and checks[3]["edm_valid"]


def test_rows_are_ordered_named_and_serialisable(scores):
    order = [e.name for e in CATALOGUE]
    assert [order.index(name) for name in scores] == sorted(order.index(name) for name in scores)
    again = json.loads(json.dumps([score.to_dict() for score in scores.values()]))
    assert all(row["definition"] and row["value"] is not None for row in again)
    for score in scores.values():
        assert score.interval is None or score.interval[0] <= score.value <= score.interval[1]


def test_every_core_score_has_its_data_row(scores):
    assert not [name for name, score in scores.items() if score.data is None and name != "readable"]


def test_refused_bonds_count_as_invalid_but_keep_distances(mols):
    row = check_molecules(mols[:1], refused={0: "bonds not perceived"})[0]
    assert not row["valid"] and row["reason"] == "bonds not perceived" and row["smiles"] is None and row["edm_valid"]


def test_smiles_only_sets_have_no_3d_scores():
    smiles = [Chem.MolFromSmiles(s, sanitize=False) for s in ("CCO", "c1ccccc1", "CC")]
    scores = {score.name: score for score in score_molecules(smiles, extras=("posebusters", "mmff", "gfn2", "fcd"))}
    for name in (
        "edm_atom_stability",
        "edm_vun",
        "bond_w1",
        "angle_w1",
        "posebusters",
        "mmff_strain",
        "gfn2_relaxation",
    ):
        assert scores[name].value is None and scores[name].note
    assert scores["validity"].value == scores["strict_molecule_stability"].value == 1
    assert "1000" in scores["fcd"].note or "not installed" in scores["fcd"].note


def test_heavy_atoms_alone_get_a_note():
    bare = [Chem.RemoveHs(embedded("CCO"))]
    scores = {score.name: score for score in score_molecules(bare)}
    assert "hydrogen" in scores["edm_molecule_stability"].note and scores["edm_molecule_stability"].value == 0


def test_ones_own_reference(mols, checks):
    own = ref.reference_from_checks("mine", checks[:1])
    scores = {score.name: score for score in score_molecules(mols, checks, reference=own)}
    assert scores["novelty"].value == pytest.approx(2 / 3)  # ethanol is known, acetamide and ethane are not
    assert scores["novelty"].data is None and scores["bond_w1"].data is None and scores["validity"].data is not None
    itself = {score.name: score for score in score_molecules(mols[:1], checks[:1], reference=own)}
    assert itself["bond_w1"].value == itself["angle_w1"].value == itself["novelty"].value == 0
    with pytest.raises(InputError, match="no valid molecule"):
        ref.reference_from_checks("none", checks[3:4])


def test_slow_scores_fill_the_rows_and_respect_the_limit(mols):
    rows = check_molecules(mols)
    scores = {s.name: s for s in score_molecules(mols, rows, extras=("mmff", "posebusters"), limit=2, seed=3)}
    assert scores["mmff_strain"].value == pytest.approx(0, abs=0.05) and "2 of 3" in scores["mmff_strain"].note
    assert sum("mmff_strain" in row for row in rows) == 2
    if scores["posebusters"].value is not None:
        assert sum("posebusters" in row for row in rows) == 2
    assert set(table_row(rows[0])) == set(TABLE_COLUMNS)


def test_missing_engines_say_how_to_get_them(mols, checks, monkeypatch):
    monkeypatch.setattr("scigen.domains.molecules.extras.posebusters_available", lambda: False)
    monkeypatch.setattr("scigen.domains.molecules.extras.fcd_available", lambda: False)
    monkeypatch.setattr("scigen.domains.molecules.extras.gfn2_available", lambda: False)
    scores = {s.name: s for s in score_molecules(mols, checks, extras=("posebusters", "fcd", "gfn2"))}
    assert scores["posebusters"].note == scores["fcd"].note == "not installed: pip install 'scigen[metrics]'"
    assert scores["gfn2_relaxation"].note == "not installed: pip install 'scigen[energy]'"


def test_nothing_to_score_and_unknown_groups():
    with pytest.raises(InputError, match="no molecule"):
        score_molecules([])
    with pytest.raises(UsageError, match="nope"):
        score_molecules([Chem.MolFromSmiles("C")], extras=("nope",))


def test_catalogue_has_one_entry_per_name():
    names = [e.name for e in CATALOGUE]
    assert len(set(names)) == len(names) and {e.group for e in CATALOGUE} == {"core", *EXTRAS}
    assert entry("fcd").group == "fcd"
    with pytest.raises(KeyError):
        entry("absent")


def test_data_row_is_interpolated_in_n():
    few, many = ref.data_value("bond_w1", 100), ref.data_value("bond_w1", 10_000)
    assert few > ref.data_value("bond_w1", 1000) > many
    assert ref.data_value("bond_w1", 1) == few and ref.data_value("bond_w1", 10**9) == many
    assert ref.data_value("absent", 10) is None


def test_the_baseline_is_worse_than_the_data_wherever_coordinates_count():
    better_high = ("edm_atom_stability", "edm_molecule_stability", "edm_vu", "posebusters")
    assert all(ref.baseline_value(name) < ref.data_value(name, 2000) for name in better_high)
    assert all(ref.baseline_value(name) > ref.data_value(name, 2000) for name in ("bond_w1", "angle_w1", "mmff_strain"))
    assert ref.baseline_value("validity") is None


def test_published_facts_about_qm9():
    # Test split, 13,083 molecules: the row that everyone's scores are read against.
    published = {
        "edm_atom_stability": 0.9934,
        "edm_molecule_stability": 0.9522,
        "edm_validity": 0.9774,
        "edm_vu": 0.9774,
    }
    assert {name: ref.data_value(name, 13_083) for name in published} == pytest.approx(published, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not (cache_dir() / "qm9.npz").is_file(), reason="run `scigen data prepare qm9` first")
def test_the_whole_test_split_reproduces_the_data_row():
    data = load_qm9()
    scores = score_molecules([to_rdkit(data[k]) for k in data.where("test")])
    distances = ("bond_w1", "angle_w1")  # zero to itself; their data row is training molecules against the test split
    assert all(score.value == 0 for score in scores if score.name in distances)
    assert all(score.value == pytest.approx(score.data, rel=1e-9) for score in scores if score.name not in distances)


@pytest.mark.skipif(not fixture_path().is_file(), reason="the QM9 fixture is absent")
def test_the_fixture_is_found_in_the_training_index():
    # Guards the shipped index against a change of RDKit's canonical SMILES.
    data = load_fixture()
    train = data.where("train")
    known = ref.qm9_reference().known
    smiles = [canonical(Chem.MolFromSmiles(data.smiles[k].decode())) for k in train]
    assert len(train) > 50 and known.contains(smiles).mean() > 0.99
    other = np.setdiff1d(np.arange(len(data)), train)
    rest = [canonical(Chem.MolFromSmiles(data.smiles[k].decode())) for k in other]
    assert not len(rest) or known.contains(rest).mean() < 0.1


@pytest.mark.skipif(not fixture_path().is_file(), reason="the QM9 fixture is absent")
def test_real_molecules_score_like_the_data_row():
    data = load_fixture()
    mols = [to_rdkit(data[k]) for k in range(len(data))]
    scores = {score.name: score for score in score_molecules(mols)}
    assert scores["strict_molecule_stability"].value > 0.99 and scores["validity"].value > 0.99
    low, high = scores["edm_molecule_stability"].interval
    assert low - 0.02 < ref.data_value("edm_molecule_stability", 0) < high + 0.02
    assert scores["bond_w1"].value < 3 * ref.data_value("bond_w1", len(mols))
