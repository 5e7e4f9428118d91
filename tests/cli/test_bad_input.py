"""Every command against hostile arguments, files and folders: the exit code, and a sentence that names the culprit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scigen.cli.app import run
from scigen.run.report import held_folder
from tests.io import seeds

SAMPLE = "sample molecules --n 1 --steps 2 --quiet"
SCORE = "score molecules --without all --quiet"

# Exit code, command line (`{dir}` is the folder made below), and what the sentence must name.
CASES = [
    (2, f"{SAMPLE} --weights molecules-qm8 --solver eular", "did you mean 'euler'"),
    (2, f"{SAMPLE} --process vpp", "did you mean 'vp'"),
    (2, f"{SAMPLE} --n-atoms 0", "--n-atoms 0"),
    (2, f"{SAMPLE} --n-atoms 20-10", "20-10"),
    (2, f"{SAMPLE} --n-atoms many", "many"),
    (2, f"{SAMPLE} --only invalid", "invalid"),
    (2, f"{SAMPLE} --eta 2 --solver ddim", "--eta"),
    (2, f"{SAMPLE} --seed -1", "--seed"),
    (2, f"{SAMPLE} --batch-size 0", "--batch-size"),
    (2, f"{SAMPLE} --device abacus", "abacus"),
    (3, f"{SAMPLE} --out {{dir}}/new --weights no-such-weights", "no-such-weights"),
    (3, f"{SAMPLE} --out {{dir}}/new --weights {{dir}}/garbage.safetensors", "garbage"),
    (6, f"{SAMPLE} --out {{dir}}/file", "a folder is needed"),
    (6, f"{SAMPLE} --out {{dir}}/file/below", "a part of the path is a file"),
    (3, f"{SCORE} {{dir}}/none.sdf", "does not exist"),
    (3, f"{SCORE} {{dir}}", "names no molecule format"),
    (3, f"{SCORE} {{dir}}/empty.sdf", "is empty"),
    (3, f"{SCORE} {{dir}}/prose.sdf", "is not an SDF"),
    (3, f"{SCORE} {{dir}}/garbage.sdf", "binary"),
    (3, f"{SCORE} {{dir}}/prose.xyz", "not an XYZ file"),
    (3, f"{SCORE} {{dir}}/prose.csv", "column `smiles`"),
    (3, f"{SCORE} {{dir}}/garbage.gz", "names no molecule format"),
    (2, f"{SCORE} {{dir}}/good.sdf --min validty=0.5", "validity"),
    (2, f"{SCORE} {{dir}}/good.sdf --min validity", "validity"),
    (2, f"{SCORE} {{dir}}/good.sdf --min validity=high", "high"),
    (2, f"{SCORE} {{dir}}/good.sdf --with gfn3", "gfn2"),
    (2, f"{SCORE} {{dir}}/good.sdf --subset 0", "--subset"),
    (2, "check", "Missing argument"),
    (2, "check molecules/qm8", "molecules/qm9"),
    (2, "check {dir}/typo.yaml", "did you mean 'network'"),
    (2, "check {dir}/broken.yaml", "broken.yaml"),
    (2, "check {dir}/tag.yaml", "tag.yaml"),
    (2, "check {dir}", "{dir}"),
    (2, "check molecules/qm9 -s train.lrr=3", "train.lrr"),
    (2, "check molecules/qm9 -s train.lr=fast", "fast"),
    (2, "check molecules/qm9 -s train.lr", "key=value"),
    (2, "train molecules/qm8", "molecules/qm9"),
    (2, "train molecules/qm9 --minutes 0 --out {dir}/new", "minutes"),
    (2, "train molecules/qm9 --minutes soon", "soon"),
    (6, "train molecules/qm9 --minutes 1 --out {dir}/file", "a folder is needed"),
    (3, "train molecules/qm9 --minutes 1 --out {dir}/new --data {dir}/none.npz", "none.npz"),
    (3, "train molecules/qm9 --minutes 1 --out {dir}/new --data {dir}/garbage.npz", "garbage.npz"),
    (2, "data prepare qm8", "qm9"),
    (2, "data prepare", "Missing argument"),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    garbage = bytes(range(256)) * 20
    for name in ("garbage.sdf", "garbage.npz", "garbage.gz", "garbage.safetensors", "garbage.json"):
        (folder / name).write_bytes(garbage)
    for name in ("prose.sdf", "prose.xyz", "prose.csv"):
        (folder / name).write_text("It was a dark and stormy night.\n" * 5)
    (folder / "good.sdf").write_bytes(seeds.sdf())
    (folder / "typo.yaml").write_text("domain: molecules\nnetwrok: {}\n")
    (folder / "broken.yaml").write_text(": : [")
    (folder / "tag.yaml").write_text("!!python/object/apply:os.abort []\n")
    (folder / "empty.sdf").touch()
    (folder / "file").touch()
    return folder


@pytest.mark.parametrize(("code", "line", "culprit"), CASES, ids=[line for _, line, _ in CASES])
def test_the_code_and_the_sentence(
    code: int, line: str, culprit: str, hostile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in hostile.iterdir() if path.name != "new")
    assert run(line.format(dir=hostile).split()) == code
    out, err = capsys.readouterr()
    assert err.startswith("scigen: ") and err.count("\n") == 1 and "Traceback" not in err and out == ""
    assert culprit.format(dir=hostile) in err
    assert sorted(path.name for path in hostile.iterdir() if path.name != "new") == before


def test_bad_records_are_listed_and_the_rest_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = seeds.sdf().decode().split("$$$$\n")[:-1]
    blocks[1] = blocks[1].replace(" C  ", " Xx ", 1)
    blocks[3] = blocks[3][:200]
    (tmp_path / "x.sdf").write_text("$$$$\n".join([*blocks, ""]))
    assert run([*SCORE.split(), str(tmp_path / "x.sdf"), "--json", "--out", str(tmp_path / "out")]) == 4
    assert json.loads(capsys.readouterr().out)["molecules"] == len(seeds.SMILES) - 2
    rows = [json.loads(row) for row in (tmp_path / "out" / "errors.jsonl").read_text().splitlines()]
    assert [row["record"] for row in rows] == [1, 3]


def limited(line: str, kilobytes: int) -> subprocess.CompletedProcess[str]:
    """Run a command line where no file may grow beyond so many kB: what a full disk feels like."""
    code = (
        f"import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes * 1024},) * 2)\n"
        "from scigen.cli.app import run\nsys.exit(run(sys.argv[1:]))"
    )
    return subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True)


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half(tmp_path: Path) -> None:
    done = limited(f"{SAMPLE} --out {tmp_path}/run", kilobytes=1)
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("scigen: cannot write `") and done.stderr.count("\n") == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock", "errors.jsonl"}


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held_folder(tmp_path):
        assert run([*SAMPLE.split(), "--out", str(tmp_path)]) == 3
    assert "another run is writing" in capsys.readouterr().err
