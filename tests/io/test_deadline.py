"""The killable worker: answers, errors, hangs, deaths."""

from __future__ import annotations

import os
import time

import pytest

from scigen.io.deadline import Deadline, Refused, TooLong


def echo(value: object) -> object:
    print("noise on stdout must not reach the answers")
    return value


def fail(text: str) -> None:
    raise ValueError(text)


def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"


def die() -> None:
    os._exit(3)


def hoard() -> int:
    return len(bytearray(8 << 30))


TASK = "tests.io.test_deadline:"


def test_answers_and_errors() -> None:
    with Deadline(TASK + "echo") as call:
        assert [call(x) for x in (1, "é\n", [1, {"a": None}])] == [1, "é\n", [1, {"a": None}]]
    with Deadline(TASK + "fail") as call:
        for _ in range(2):
            with pytest.raises(Refused, match="ValueError: no"):
                call("no")


def test_a_hang_is_killed_and_the_next_call_works() -> None:
    with Deadline(TASK + "nap", seconds=0.5) as call:
        assert call(0) == "awake"
        start = time.perf_counter()
        with pytest.raises(TooLong, match=r"more than 0\.5 s"):
            call(1e6)
        assert time.perf_counter() - start < 5
        assert call(0) == "awake"


def test_a_death_is_an_error_of_its_call_alone() -> None:
    with Deadline(TASK + "die") as call:
        for _ in range(2):
            with pytest.raises(Refused, match="the process died"):
                call()


def test_memory_is_capped() -> None:
    with Deadline(TASK + "hoard", memory=2 << 30) as call, pytest.raises(Refused, match="MemoryError"):
        call()
