"""The training loop: exact resume, closed-form schedule and average, spikes, agreement."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from scigen.domains.molecules.data import fixture_path
from scigen.errors import InputError, NumericError
from scigen.run.begin import Plan
from scigen.run.checkpoint import load_tensors
from scigen.run.distributed import World
from scigen.run.session import run_training
from scigen.run.train import MAX_BAD, Trainer, hold, step_generator, train
from tests.run.tiny import config, line_trainer, trained

ROOT = Path(__file__).resolve().parents[2]


def checkpoint(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_tensors(folder / f"step-{step:08d}.safetensors")[0]


def test_resume_is_exact_bit_for_bit(tmp_path: Path) -> None:
    trained(tmp_path / "straight", "train.steps=12")
    # The schedule looks at the whole budget, so the first half stops by a signal, not by a smaller budget.
    half = tmp_path / "half"
    interrupted(half, 6, "train.steps=12")
    assert (half / "step-00000006.safetensors").is_file()
    finished = trained(half, "train.steps=12", resume=True)
    assert finished.steps == 12 and finished.signal == 0
    straight, resumed = checkpoint(tmp_path / "straight", 12), checkpoint(half, 12)
    assert straight.keys() == resumed.keys()
    assert {name.split(".")[0] for name in straight} == {"model", "ema", "optimizer"}
    assert all(torch.equal(x, resumed[name]) for name, x in straight.items())


def interrupted(folder: Path, at: int, *more: str) -> None:
    """A run that is asked to stop during step `at`."""

    def report(trainer: Trainer) -> None:
        if trainer.status.step == at - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    finished = run_training(Plan(config(*more), folder, data=fixture_path()), report)
    assert (finished.signal, finished.steps) == (signal.SIGTERM, at)


def test_a_longer_budget_continues_the_same_batches(tmp_path: Path) -> None:
    trained(tmp_path, "train.steps=2")
    assert trained(tmp_path, "train.steps=4", resume=True).samples == 4 * 8
    assert [f.name for f in sorted(tmp_path.glob("step-*"))] == [
        "step-00000002.safetensors",
        "step-00000004.safetensors",
    ]


def test_every_step_and_worker_has_its_own_noise() -> None:
    cpu = torch.device("cpu")
    keys = [(seed, step, rank) for seed in (0, 1) for step in (0, 1, 1 << 20) for rank in (0, 1)]
    draws = [torch.rand(4, generator=step_generator(s, k, World(r, 2, cpu))) for s, k, r in keys]
    assert len({tuple(d.tolist()) for d in draws}) == len(keys)
    assert torch.equal(draws[0], torch.rand(4, generator=step_generator(0, 0, World(0, 2, cpu))))


def test_learning_rate_is_the_closed_form() -> None:
    trainer = line_trainer(steps=200, warmup=10, lr=0.5)
    seen = {}
    for step in (0, 4, 9, 50, 100, 199):
        trainer.status.step = step
        seen[step] = trainer.learning_rate()
    # cos^2(pi k / 2 T), the same curve written another way, times the ramp
    for step, rate in seen.items():
        ramp = (step + 1) / 10 if step < 10 else 1.0
        assert rate == pytest.approx(0.5 * ramp * math.cos(math.pi * step / 400) ** 2, rel=1e-12)
    trainer.status.step = 200
    assert trainer.learning_rate() == pytest.approx(0, abs=1e-15)


def test_the_first_budget_to_end_ends_the_run() -> None:
    trainer = line_trainer(steps=100, minutes=1)
    trainer.status.step, trainer.status.seconds = 50, 45.0
    assert trainer.status.progress(trainer.config) == 0.75
    trainer.status.seconds = 61.0
    assert trainer.status.progress(trainer.config) == 1.0


def test_the_average_is_the_closed_form() -> None:
    trainer = line_trainer(ema=0.5)
    history = [trainer.ema[0].double().clone()]
    weights = []
    for _ in range(5):
        trainer.step()
        history.append(trainer.network.weight.detach().double().clone())
        weights.append(min(0.5, (1 + len(weights)) / (10 + len(weights))))
    # Unrolled: sum_k (1 - d_k) prod_{j > k} d_j p_k, with the initial parameters keeping the product of all.
    expected = history[0] * math.prod(weights)
    for k, d in enumerate(weights):
        expected = expected + (1 - d) * math.prod(weights[k + 1 :]) * history[k + 1]
    assert torch.allclose(trainer.ema[0].double(), expected, atol=1e-6)
    assert not torch.allclose(expected, history[-1], atol=1e-6)


def test_adamw_takes_the_clipped_gradient() -> None:
    small, large = line_trainer(clip=1e-3), line_trainer(clip=1e-3)
    large.task.scale = {0: 50.0}
    before = large.network.weight.detach().clone()
    small.step()
    large.step()
    assert torch.allclose(small.network.weight, large.network.weight)
    assert not torch.equal(before, large.network.weight)


@pytest.mark.parametrize("scale", [1e6, float("nan"), float("inf")], ids=["huge", "nan", "inf"])
def test_a_spike_changes_nothing_and_is_counted(scale: float) -> None:
    trainer = line_trainer()
    trainer.task.scale = {5: scale}
    for _ in range(5):
        trainer.step()
    before = {name: x.clone() for name, x in trainer.tensors().items()}
    norm = trainer.status.norm
    trainer.step()
    assert all(torch.equal(x, before[name]) for name, x in trainer.tensors().items())
    assert (trainer.status.skipped, trainer.status.bad, trainer.status.norm) == (1, 1, norm)
    trainer.step()
    assert (trainer.status.skipped, trainer.status.bad, trainer.status.step) == (1, 0, 7)
    assert not torch.equal(trainer.network.weight, before["model.weight"])


def test_twenty_spikes_in_a_row_end_the_run() -> None:
    trainer = line_trainer()
    trainer.task.scale = dict.fromkeys(range(5, 100), float("nan"))
    with pytest.raises(NumericError, match=r"20 steps in a row up to step 24 .* lower `train.lr` from 0.01"):
        train(trainer, lambda: False, lambda trainer: None)
    assert trainer.status.skipped == MAX_BAD
    assert torch.isfinite(trainer.network.weight).all()


def test_large_gradients_of_the_warm_up_are_no_spikes() -> None:
    trainer = line_trainer(warmup=10)
    trainer.task.scale = {3: 1e4}
    for _ in range(5):
        trainer.step()
    assert trainer.status.skipped == 0


def test_the_line_is_learnt() -> None:
    trainer = line_trainer(steps=400, lr=0.1, weight_decay=0.0)
    assert train(trainer, lambda: False, lambda trainer: None) is False
    assert float(trainer.ema[0]) == pytest.approx(2, abs=0.02)
    assert float(trainer.ema[1]) == pytest.approx(-1, abs=0.02)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    trainer = line_trainer()
    trainer.step()
    tensors = trainer.tensors()
    counters = {"step": 1, "seconds": 1.0, "samples": 16, "norm": 1.0, "bad": 0, "skipped": 0}
    for broken in (
        {k: v for k, v in tensors.items() if k != "model.bias"},
        {**tensors, "ema.weight": torch.zeros(3, 3)},
    ):
        with pytest.raises(InputError, match="does not fit the network of this config"):
            line_trainer().restore(broken, counters)
    with pytest.raises(InputError, match="does not fit"):
        line_trainer().restore(tensors, {"step": 1})


def test_workers_at_different_steps_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_two(model: torch.nn.Module, extra: torch.Tensor) -> torch.Tensor:
        return extra + torch.tensor([0.0, 1.5, 0.0, 0.0])  # the other stands three steps further

    monkeypatch.setattr("scigen.run.train.average_gradients", of_two)
    with pytest.raises(InputError, match="different steps"):
        line_trainer().step()


def test_a_compiler_that_fails_is_told_and_done_without() -> None:
    class Broken(torch.autograd.Function):
        """As torch does: the graph of the backward pass is compiled when it is first needed."""

        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise TorchDynamoException("C++ compile error")

    plain, broken, heard = line_trainer(), line_trainer(), []
    broken.warn = heard.append
    broken.forward = lambda x: Broken.apply(broken.network(x))
    for _ in range(3):
        plain.step()
        broken.step()
    assert len(heard) == 1 and "torch.compile failed" in heard[0]
    assert torch.equal(plain.network.weight, broken.network.weight)


def test_training_imports_no_chemistry(tmp_path: Path) -> None:
    code = f"""
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from tests.run.tiny import trained
trained(Path({str(tmp_path)!r}), "train.steps=1")
heavy = {{"rdkit", "torch_geometric", "pandas", "posebusters"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_bf16_runs_and_differs(tmp_path: Path) -> None:
    trained(tmp_path / "half", "train.steps=1")
    trained(tmp_path / "full", "train.steps=1", "train.bf16=false")
    one, other = checkpoint(tmp_path / "half", 1), checkpoint(tmp_path / "full", 1)
    assert all(x.dtype == torch.float32 for x in one.values())
    assert any(not torch.equal(x, other[name]) for name, x in one.items())


def test_frozen_parts_stay_bit_for_bit_and_resume_is_exact(tmp_path: Path) -> None:
    recipe = ("train.steps=4", "train.freeze=[layers, atom_out]")
    interrupted(tmp_path, 2, *recipe)
    trained(tmp_path, *recipe, resume=True)
    trained(tmp_path / "straight", *recipe)
    first, last, straight = checkpoint(tmp_path, 2), checkpoint(tmp_path, 4), checkpoint(tmp_path / "straight", 4)
    assert last.keys() == straight.keys() and all(torch.equal(x, straight[k]) for k, x in last.items())
    weights = [k for k in last if k.startswith(("model.", "ema."))]
    held = {k for k in weights if k.split(".", 1)[1].startswith(("layers.", "atom_out."))}
    assert len(held) > 10 and all(torch.equal(first[k], last[k]) for k in held)
    assert all(not torch.equal(first[k], last[k]) for k in ("model.pair_in.weight", "model.vector_out.weight"))


def test_freezing_what_is_not_there_or_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'encoder', which is no part .* choose from logsnr, size, atom"):
        trained(tmp_path, "train.steps=1", "train.freeze=[encoder]")
    with pytest.raises(InputError, match="no part"):
        line_trainer(freeze=("",))
    net = torch.nn.Sequential(torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match="leaves nothing to train"):
        hold(net, ["0"])
