"""Beginning, resuming and stopping a run: what fits goes on, what does not is refused with a sentence."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from scigen.domains.molecules.data import fixture_path, load_fixture
from scigen.errors import InputError, UsageError
from scigen.run.begin import Plan, begin
from scigen.run.checkpoint import load_tensors, save_checkpoint
from scigen.run.compiled import compiled, missing_compiler
from scigen.run.distributed import World, join
from scigen.run.log import read_log
from scigen.run.prepare import save_set
from scigen.run.report import held_folder
from scigen.run.session import run_training
from scigen.run.signals import stop_on_signals
from tests.run.tiny import ALONE, config, trained

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    trained(folder, "train.steps=2")
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_what_a_run_leaves(run: Path) -> None:
    names = {f.name for f in run.iterdir()}
    # On a crowded machine two steps may outlast the interval of the log, and two rows make a curve.
    assert names - {"curve.png"} == {
        ".lock", "log.jsonl", "run.json", "step-00000002.safetensors", "weights.json", "weights.safetensors",
    }  # fmt: skip
    card = json.loads((run / "run.json").read_text())
    assert card["steps"] == 2 and card["config"]["train"]["steps"] == 2 and len(card["weights"]["sha256"]) == 64


def test_a_folder_with_a_run_is_not_overwritten(run: Path) -> None:
    with pytest.raises(InputError, match="already holds a run; add --resume"):
        trained(run, "train.steps=2")


def test_a_run_needs_a_budget(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no budget; give --minutes"):
        trained(tmp_path)


def test_a_held_folder_is_refused(tmp_path: Path) -> None:
    with held_folder(tmp_path), pytest.raises(InputError, match="another run is writing"):
        trained(tmp_path, "train.steps=1")


def test_another_recipe_is_refused_by_the_keys_that_changed(run: Path) -> None:
    with pytest.raises(InputError, match="started with network.width=16, not 32; resume with the same"):
        trained(run, "train.steps=3", "network.width=32", resume=True)
    with pytest.raises(InputError, match=r"and 1 more: loss.bond\); resume .* --from .*weights.safetensors"):
        trained(run, "train.steps=3", "loss.bond=2", "train.lr=1", resume=True)


def test_the_budget_may_change(copy: Path) -> None:
    trained(copy, "train.steps=3", "train.checkpoint_minutes=1", resume=True)
    assert (copy / "step-00000003.safetensors").is_file()


def test_a_finished_run_stays_as_it_is(copy: Path) -> None:
    before = (copy / "step-00000002.safetensors").read_bytes()
    assert trained(copy, "train.steps=2", resume=True).steps == 2
    assert (copy / "step-00000002.safetensors").read_bytes() == before


def test_other_data_is_refused(copy: Path, tmp_path: Path) -> None:
    other = load_fixture()
    save_set(tmp_path / "other.npz", dataclasses.replace(other, pos=other.pos + 1), [])
    plan = Plan(config("train.steps=3"), copy, resume=True, data=tmp_path / "other.npz")
    with pytest.raises(InputError, match="trained on other data"):
        run_training(plan)


def test_an_early_checkpoint_without_config_is_continued(copy: Path) -> None:
    tensors, counters = load_tensors(copy / "step-00000002.safetensors")
    kept = {k: counters[k] for k in ("step", "seconds", "samples", "norm", "bad", "skipped")}
    save_checkpoint(copy, 2, tensors, kept)
    assert trained(copy, "train.steps=3", resume=True).steps == 3


def test_another_number_of_workers_is_told(run: Path) -> None:
    heard: list[str] = []
    plan = Plan(config("train.steps=3"), run, resume=True, data=fixture_path())
    begin(plan, World(1, 2, torch.device("cpu")), heard.append)
    assert len(heard) == 1 and "had 1 workers and goes on with 2" in heard[0]


def test_resuming_nothing_begins_and_says_so(tmp_path: Path) -> None:
    heard: list[str] = []
    plan = Plan(config("train.steps=1"), tmp_path, resume=True, data=fixture_path())
    assert run_training(plan, warn=heard.append).steps == 1
    assert "holds no checkpoint yet" in heard[0]


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".step-00000001.safetensors.0123abcd.tmp").write_bytes(b"half")
    trained(tmp_path, "train.steps=1")
    assert not list(tmp_path.glob(".*.tmp"))


def test_starting_from_weights_takes_parameters_and_average(run: Path, tmp_path: Path) -> None:
    plan = Plan(config("train.steps=1", "train.seed=5"), tmp_path, start=str(run / "weights.safetensors"))
    plan = dataclasses.replace(plan, data=fixture_path())
    trainer, origin = begin(plan, ALONE, pytest.fail)
    kept = load_tensors(run / "step-00000002.safetensors")[0]
    for (name, p), mean in zip(trainer.network.named_parameters(), trainer.ema, strict=True):
        assert torch.equal(p, kept[f"ema.{name}"].bfloat16().float()) and torch.equal(p, mean)
    assert trainer.status.step == 0 and origin is not None and origin["weights"] == "weights.safetensors"
    run_training(plan)
    assert json.loads((tmp_path / "weights.json").read_text())["from"] == origin
    run_training(dataclasses.replace(plan, config=config("train.steps=2", "train.seed=5"), resume=True))
    assert json.loads((tmp_path / "weights.json").read_text())["from"] == origin


def test_weights_of_another_shape_are_refused(run: Path, tmp_path: Path) -> None:
    start = str(run / "weights.safetensors")
    with pytest.raises(InputError, match=r"network.width=16 and the config asks for 32; set `-s network.width=16`"):
        trained(tmp_path, "train.steps=1", "network.width=32", start=start)
    with pytest.raises(InputError, match="No weights 'nothing'"):
        trained(tmp_path, "train.steps=1", start="nothing")


def test_too_large_a_batch_and_too_odd_a_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"271 molecules do not fill one batch of 512; lower `train.batch`"):
        trained(tmp_path, "train.steps=1", "train.batch=512")
    for device in ("tpu", "cuda:x", "cudaa"):
        with pytest.raises(UsageError, match=f"--device {device}: choose"):
            join(device)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="sees no GPU; use --device cpu"):
            join("cuda:0")


def test_without_a_compiler_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    network, heard = torch.nn.Linear(1, 1), []
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert missing_compiler(torch.device("cpu")) is not None
    assert compiled(network, torch.device("cpu"), True, heard.append) is network
    assert len(heard) == 1 and "g++" in heard[0]
    assert compiled(network, torch.device("cpu"), False, pytest.fail) is network


def test_a_second_request_unwinds(monkeypatch: pytest.MonkeyPatch) -> None:
    former = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGTERM)  # torchrun's echo of the first
        stop.since -= 10
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert caught.value.code == 130
    assert signal.getsignal(signal.SIGTERM) == former


WORKER = """
import time, torch
from pathlib import Path
import scigen.run.begin as beginning
from scigen.run.begin import begin
from scigen.run.session import run_training
from tests.run.tiny import *
from safetensors.torch import save_file
import sys, os
out = Path(sys.argv[1])
kept = []
plan = Plan(config("train.steps=4", "train.bf16=false"), out, data=fixture_path())
import scigen.run.session as session
prepare, ready = beginning.training_task, out.parent / "ready"
def prepared(*args):
    if int(os.environ["RANK"]):
        assert ready.exists(), "before the lead had prepared"
    task = prepare(*args)
    time.sleep(1)
    ready.touch()
    return task
beginning.training_task = prepared
def watched(plan, world, warn):
    trainer, origin = begin(plan, world, warn)
    kept.append(trainer)
    return trainer, origin
session.begin = watched
finished = run_training(plan)
assert finished.steps == 4 and finished.samples == 4 * 8 * 2, finished
save_file(kept[0].average() | dict(kept[0].network.named_parameters()), out / f"rank{os.environ['RANK']}.safetensors")
"""


@pytest.mark.slow
def test_two_workers_wait_for_the_lead_to_prepare_and_end_with_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    out = tmp_path / "run"
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(out),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in line], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (load_tensors_of(out / f"rank{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(x, second[name]) for name, x in first.items())
    steps = [row["step"] for row in read_log(out)]
    assert steps == sorted(set(steps)) and steps[-1] == 4, "one worker writes"


def load_tensors_of(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)
