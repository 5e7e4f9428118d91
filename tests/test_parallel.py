"""Pieces side by side: order, exceptions, one thread each, and no process left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from scigen.parallel import one_each_core


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_functions_that_cannot_be_pickled(two_threads):
    offset = 10
    assert list(one_each_core(lambda k: k + offset, range(7))) == list(range(10, 17))
    assert list(one_each_core(lambda k: k, [])) == []


def test_each_piece_has_one_thread_and_the_caller_keeps_its_own(two_threads):
    assert set(one_each_core(lambda k: torch.get_num_threads(), range(4))) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="threads elsewhere")
def test_pieces_run_in_other_processes_on_linux(two_threads):
    homes = set(one_each_core(lambda k: os.getpid(), range(4)))
    assert os.getpid() not in homes and 1 <= len(homes) <= 2


def test_one_thread_stays_in_this_process():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert set(one_each_core(lambda k: os.getpid(), range(3))) == {os.getpid()}
    torch.set_num_threads(before)


def test_an_exception_in_a_piece_reaches_the_caller(two_threads):
    with pytest.raises(ZeroDivisionError):
        list(one_each_core(lambda k: 1 // k, [1, 0, 2]))


@pytest.mark.skipif(sys.platform != "linux", reason="threads elsewhere")
def test_a_killed_parent_leaves_no_child_behind(tmp_path):
    script = textwrap.dedent(f"""
        import os, time, torch
        from scigen.parallel import one_each_core
        torch.set_num_threads(2)
        def wait(k):
            open(r"{tmp_path}/" + str(os.getpid()), "w").close()
            time.sleep(60)
        list(one_each_core(wait, range(2)))
    """)
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        _until(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    children = [int(path.name) for path in tmp_path.iterdir()]
    _until(lambda: not any(_alive(pid) for pid in children))


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # a zombie waits for its reaper only
    except OSError:
        return False


def _until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
