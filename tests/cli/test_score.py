"""`scigen score molecules`: exit codes, thresholds, and the documents it writes."""

import csv
import io
import json
from xml.etree import ElementTree

import pytest
import typer
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rich.console import Console
from typer.main import get_command

from scigen.cli.guard import guarded
from scigen.cli.score import score_molecules
from scigen.cli.table import format_interval, format_value, score_table
from scigen.cli.thresholds import Threshold, judge, junit, parse_thresholds
from scigen.errors import UsageError
from scigen.metrics.score import Score

NAMES = ("validity", "uniqueness", "fcd")


def run(*args: object) -> int:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(score_molecules)

    def work() -> None:
        with get_command(app).make_context("scigen", [str(arg) for arg in args]) as context:
            context.command.invoke(context)

    return guarded(work)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("score") / "good.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for smiles in ("CCO", "CC(=O)N", "CCC"):
            mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
            rdDistGeom.EmbedMolecule(mol, randomSeed=2)
            writer.write(mol)
    return path


@pytest.fixture
def partial(good, tmp_path):
    path = tmp_path / "partial.sdf"
    path.write_text(good.read_text() + good.read_text().split("$$$$\n")[0].replace("V2000", "V2X00") + "$$$$\n")
    return path


def test_ok_and_missed(good, capsys):
    assert run(good, "--without", "all", "--min", "validity=1", "--max", "bond_w1=1") == 0
    assert "passed" in capsys.readouterr().err
    assert run(good, "--without", "all", "--min", "validity=1", "--min", "edm_vu=101%") == 1
    assert "MISSED: edm_vu is" in capsys.readouterr().err


def test_one_json_document_and_nothing_else(good, capsys):
    assert run(good, "--without", "all", "--json", "--min", "validity=2") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["molecules"] == report["records"] == 3 and report["passed"] is False
    scores = {row["name"]: row for row in report["scores"]}
    assert scores["validity"]["value"] == 1 and scores["validity"]["data"] is not None
    assert report["thresholds"][0] == {
        "name": "validity", "bound": 2.0, "is_minimum": True, "value": 1.0, "passed": False,
        "message": "validity is 1, the bound is 2",
    }  # fmt: skip


def test_table_shows_value_data_and_definition(good, capsys):
    assert run(good, "--without", "all") == 0
    out = capsys.readouterr().out
    assert "strict_molecule_stability" in out and "100.00 %" in out and "QM9 test" in out and "SanitizeMol" in out


def test_partial_files_keep_the_good_records(partial, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(partial, "--without", "all", "--quiet", "--out", out) == 4
    captured = capsys.readouterr()
    assert captured.out == "" and "record 3" in captured.err
    assert json.loads((out / "errors.jsonl").read_text())["record"] == 3
    assert json.loads((out / "scores.json").read_text())["molecules"] == 3
    rows = list(csv.DictReader((out / "molecules.csv").open()))
    assert [row["smiles"] for row in rows] == ["CCO", "CC(N)=O", "CCC"] and rows[0]["strict_stable"] == "1"


def test_a_missed_threshold_wins_over_partial(partial):
    assert run(partial, "--without", "all", "--quiet", "--min", "readable=1") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--min", "validty=0.9"], "did you mean 'validity'"),
        (["--min", "validity"], "NAME=VALUE"),
        (["--max", "fcd=three"], "not a number"),
        (["--max", "fcd=nan"], "not a number"),
        (["--with", "gfn"], "did you mean 'gfn2'"),
        (["--without", "fcd", "--max", "fcd=3"], "also asked for"),
        (["--subset", "0"], "subset"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_usage_errors(good, args, words, capsys):
    assert run(good, *args) == 2
    assert words in capsys.readouterr().err


def test_refused_inputs(tmp_path, capsys):
    empty, junk = tmp_path / "empty.sdf", tmp_path / "junk.smi"
    empty.write_text("")
    junk.write_text("not a smiles\nnor this\n")
    for path in (empty, junk, tmp_path / "absent.sdf", tmp_path / "thing.docx"):
        assert run(path, "--without", "all") == 3
        assert str(path) in capsys.readouterr().err


def test_unwritable_output_is_refused(good, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run(good, "--without", "all", "--quiet", "--out", blocked / "out") == 6


def test_smiles_files_skip_3d_scores_and_fail_their_gates(tmp_path, capsys):
    path = tmp_path / "few.smi"
    path.write_text("CCO\nc1ccccc1\n")
    assert run(path, "--without", "all", "--quiet", "--min", "validity=1") == 0
    capsys.readouterr()
    assert run(path, "--without", "all", "--quiet", "--max", "bond_w1=1") == 1
    assert "no 3D coordinates" in capsys.readouterr().err


def test_a_threshold_switches_its_group_on(good, capsys):
    assert run(good, "--without", "all", "--json", "--max", "mmff_strain=1000") == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["scores"]]
    assert "mmff_strain" in names and "posebusters" not in names and "fcd" not in names


def test_reference_file(good, capsys):
    assert run(good, "--without", "all", "--json", "--reference", good, "--max", "novelty=0") == 0
    assert json.loads(capsys.readouterr().out)["reference"] == str(good)


def test_same_seed_same_document(good, capsys):
    documents = []
    for _ in range(2):
        run(good, "--without", "fcd,posebusters", "--json", "--seed", 4)
        documents.append(capsys.readouterr().out)
    assert documents[0] == documents[1]


def score(name: str, value: float | None, note: str = "") -> Score:
    return Score(name, value, None, 1, "", note=note)


def test_bounds_are_inclusive_and_unmeasured_fails():
    thresholds = parse_thresholds(["validity=95%"], ["fcd=3"], NAMES)
    assert thresholds == [Threshold("validity", 0.95, True), Threshold("fcd", 3.0, False)]
    passed = judge(thresholds, [score("validity", 0.95), score("fcd", 3.0)])
    assert all(verdict.passed for verdict in passed)
    failed = judge(thresholds, [score("validity", 0.9499), score("fcd", None, "not installed: pip install x")])
    assert not any(verdict.passed for verdict in failed) and "not installed" in failed[1].message


def test_unknown_names_without_a_neighbour_list_all():
    with pytest.raises(UsageError, match="choose from validity, uniqueness, fcd"):
        parse_thresholds(["zzz=1"], [], NAMES)


def test_junit_has_one_case_per_threshold(tmp_path, good):
    path = tmp_path / "gate" / "junit.xml"
    args = ["--min", "validity=1", "--max", "angle_w1=0.0001"]
    assert run(good, "--without", "all", "--quiet", "--junit", path, *args) == 1
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite.get("tests") == "2" and suite.get("failures") == "1"
    assert [case.get("name") for case in suite] == ["validity >= 1", "angle_w1 <= 0.0001"]
    assert "the bound is" in suite[1].find("failure").get("message")


def test_junit_escapes_what_it_quotes():
    verdicts = judge([Threshold("validity", 1.0, True)], [score("validity", None, "<a & b>")])
    assert ElementTree.fromstring(junit(verdicts, "suite"))[0][0][0].get("message").endswith("<a & b>")


def test_intervals_name_their_unit_once_and_notes_are_no_markup():
    assert format_interval((0.961, 0.982), "share") == "96.10 to 98.20 %"
    assert format_interval((1.5, 2.25), "kcal/mol") == "1.5 to 2.25 kcal/mol" and format_interval(None, "") == ""
    console = Console(width=200, file=io.StringIO())
    console.print(score_table([score("validity", None, "[red]x[/red]")], title="[file].sdf"))
    assert "[red]x[/red]" in console.file.getvalue() and "[file].sdf" in console.file.getvalue()
    assert len(score_table([], definitions=False).columns) == 6


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(0.97736, "share", "97.74 %"), (None, "share", "-"), (0.00057, "Å", "0.00057 Å")]
)
def test_numbers_are_written_for_people(value, unit, text):
    assert format_value(value, unit) == text
