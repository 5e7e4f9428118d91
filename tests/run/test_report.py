"""Run folders: strict JSON, one run at a time, hashes and versions."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from scigen.errors import InputError, ResourceError
from scigen.run.report import append_error, locked_folder, plain, write_run, write_scores


@dataclass(frozen=True)
class Config:
    lr: float = 1e-3
    out: Path = Path("out")


def test_a_run_leaves_its_papers(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"abc")
    with locked_folder(tmp_path / "run") as folder:
        append_error(folder, 37, "NaN at step 12", sample=np.int64(37))
        write_scores(folder, {"validity": np.float32(0.5), "fcd": float("nan"), "counts": torch.arange(2)})
        write_run(folder, Config(), seed=7, weights=tmp_path / "w.safetensors", timings={"sample": 1.5}, n=100)
    rows = (folder / "errors.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in rows] == [{"index": 37, "reason": "NaN at step 12", "sample": 37}]
    assert json.loads((folder / "scores.json").read_text()) == {"validity": 0.5, "fcd": None, "counts": [0, 1]}
    card = json.loads((folder / "run.json").read_text())
    assert card["weights"]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert card["config"] == {"lr": 0.001, "out": "out"} and card["seed"] == 7 and card["n"] == 100
    assert {"scigen", "python", "torch", "rdkit"} <= set(card["versions"])


def test_a_second_run_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    code = "import sys\nfrom scigen.run.report import locked_folder\nwith locked_folder(sys.argv[1]): print('in')"
    with locked_folder(tmp_path) as folder:
        append_error(folder, 1, "x")
        with pytest.raises(InputError, match="another run is writing"), locked_folder(tmp_path):
            pass
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
        assert other.returncode == 1 and "another run is writing" in other.stderr
        assert (folder / "errors.jsonl").read_text() != ""  # the refused run has touched nothing
    with locked_folder(tmp_path) as folder:
        assert (folder / "errors.jsonl").read_text() == ""


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ResourceError, match="a folder is needed"), locked_folder(tmp_path / "out"):
        pass


def test_plain_knows_what_json_does_not() -> None:
    assert plain({1: (np.array([1.0, np.inf]), {"a"}), "b": [Path("x"), None, True]}) == {
        "1": [[1.0, None], ["a"]],
        "b": ["x", None, True],
    }
