"""Checkpoints: whole or not at all, digested, two kept, the one before when the newest is damaged."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scigen.errors import InputError, ResourceError
from scigen.run.checkpoint import clean, found, latest, load_tensors, save_checkpoint
from tests.run.tiny import line_trainer


def contents(step: int) -> dict[str, torch.Tensor]:
    return {"a": torch.full((40, 50), float(step)), "b.0": torch.arange(step + 3), "scalar": torch.tensor(1.5)}


def write(folder: Path, *steps: int) -> list[Path]:
    return [save_checkpoint(folder, step, contents(step), {"step": step}) for step in steps]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, 7)[0]
    tensors, counters = load_tensors(path)
    assert counters == {"step": 7}
    assert all(torch.equal(x, tensors[name]) and x.dtype == tensors[name].dtype for name, x in contents(7).items())


def test_the_same_run_gives_the_same_file(tmp_path: Path) -> None:
    files = [
        save_checkpoint(tmp_path / name, 3, contents(3), {"step": 3, "lr": 0.1}).read_bytes() for name in made(tmp_path)
    ]
    assert len(set(files)) == 1


def made(folder: Path) -> list[str]:
    names = [str(k) for k in range(5)]
    for name in names:
        (folder / name).mkdir()
    return names


def test_two_are_kept(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 10)
    assert [f.name for f in found(tmp_path)] == ["step-00000003.safetensors", "step-00000010.safetensors"]


def test_unreadable_later_ones_do_not_take_the_place_of_good_ones(tmp_path: Path) -> None:
    write(tmp_path, 3, 9)[1].write_bytes(b"damaged")
    write(tmp_path, 5)
    assert [f.name for f in found(tmp_path)] == ["step-00000003.safetensors", "step-00000005.safetensors"]


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    assert latest(tmp_path / "missing") is None


def test_a_damaged_newest_falls_back_and_says_so(tmp_path: Path) -> None:
    _, newest = write(tmp_path, 1, 2)
    newest.write_bytes(newest.read_bytes()[:-100])
    heard: list[str] = []
    restored = latest(tmp_path, heard.append)
    assert restored is not None and restored[1] == {"step": 1}
    assert len(heard) == 1 and "step-00000002" in heard[0] and "Continuing from 'step-00000001" in heard[0]


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    for path in write(tmp_path, 1, 2):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="No checkpoint in .* can be read"):
        latest(tmp_path)


def test_every_bit_flip_is_detected(tmp_path: Path, numpy_rng) -> None:
    path = write(tmp_path, 1)[0]
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    # Half in the header, where there is grammar to break; half in the numbers, where only the digest can tell.
    places = [*numpy_rng.integers(0, 8 * header, 100), *numpy_rng.integers(8 * header, 8 * len(data), 100)]
    for bit in map(int, places):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(InputError):
            load_tensors(path)
    path.write_bytes(data)
    load_tensors(path)


def test_checkpoints_without_a_digest_are_read(tmp_path: Path) -> None:
    save_file(contents(4), tmp_path / "step-00000004.safetensors", {"scigen": json.dumps({"step": 4})})
    restored = latest(tmp_path)
    assert restored is not None and restored[1] == {"step": 4}


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"scigen": "[1]"}, {"scigen": "{"}])
def test_foreign_files_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file(contents(4), tmp_path / "step-00000004.safetensors", metadata)
    with pytest.raises(InputError, match="step-00000004"):
        load_tensors(tmp_path / "step-00000004.safetensors")


def test_a_header_bomb_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "step-00000001.safetensors"
    path.write_bytes((90_000_000).to_bytes(8, "little") + b"{" * 1000)
    with pytest.raises(InputError, match="no sensible length"):
        load_tensors(path)


def test_kills_while_writing_leave_a_readable_checkpoint(tmp_path: Path) -> None:
    """A child writes one checkpoint after another and is killed at random moments, twelve times."""
    pause = random.Random(5)
    write(tmp_path, 1)
    torn = 0
    for _ in range(12):
        restored = latest(tmp_path)
        assert restored is not None
        tensors, counters = restored
        assert torch.equal(tensors["a"], contents(counters["step"])["a"])
        child = os.fork()
        if child == 0:
            step = counters["step"]
            while True:
                step += 1
                save_checkpoint(tmp_path, step, contents(step), {"step": step})
        time.sleep(pause.uniform(0.01, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        torn += len(list(tmp_path.glob(".*.tmp")))
        clean(tmp_path)
        assert 1 <= len(found(tmp_path)) <= 3
    restored = latest(tmp_path)
    assert restored is not None and restored[1]["step"] > 1, "the child never got to write"
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_full_disk_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1, 2)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="no space left"):
        write(tmp_path, 3)
    assert [f.name for f in found(tmp_path)] == ["step-00000001.safetensors", "step-00000002.safetensors"]
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_optimiser_comes_back_exactly(tmp_path: Path) -> None:
    one = line_trainer()
    for _ in range(3):
        one.step()
    counters = {"step": 3, "seconds": 1.0, "samples": 48, "norm": one.status.norm, "bad": 0, "skipped": 0}
    save_checkpoint(tmp_path, 3, one.tensors(), counters)
    other = line_trainer()
    restored = latest(tmp_path)
    assert restored is not None
    other.restore(*restored)
    one.step()
    other.step()
    theirs = other.tensors()
    assert all(torch.equal(x, theirs[name]) for name, x in one.tensors().items())
    assert len([name for name in theirs if name.startswith("optimizer.")]) == 6
