"""Hanging, crashing and raising items lose themselves only."""

import sys
import time
from pathlib import Path

import pytest

from scigen.deadline import Deadline, call_each
from scigen.errors import ResourceError

sys.path.insert(0, str(Path(__file__).parent))  # the worker inherits it and finds the module by name
HERE = "hostile"


def test_values_come_back_in_order():
    outcomes = list(call_each(f"{HERE}:double", list(range(100)), batch=7))
    assert [o.value for o in outcomes] == [2 * k for k in range(100)]
    assert not any(o.error for o in outcomes)


def test_a_sleeper_is_killed_and_the_rest_goes_on():
    start = time.perf_counter()
    outcomes = list(call_each(f"{HERE}:sleep_if_odd", [0, 2, 1, 4, 6], seconds=0.5))
    assert [o.value for o in outcomes] == [0, 2, None, 4, 6]
    assert outcomes[2].error == "timed out after 0.5 s"
    assert time.perf_counter() - start < 30


def test_a_crash_and_an_exception_cost_one_item_each():
    outcomes = list(call_each(f"{HERE}:misbehave", ["ok", "crash", "ok", "raise", "print", "ok"]))
    assert [o.value for o in outcomes] == ["ok", None, "ok", None, "print", "ok"]
    assert "died" in outcomes[1].error and outcomes[3].error == "ValueError: on purpose"


def test_warming_up_is_outside_the_deadline():
    outcomes = list(call_each(f"{HERE}:is_warm", [0], seconds=0.5, warm=f"{HERE}:slow_warm"))
    assert outcomes[0].value is True


def test_a_function_that_does_not_exist_is_named():
    with pytest.raises(ResourceError, match="hostile:absent"):
        list(call_each(f"{HERE}:absent", [0]))


def test_abandoning_the_iteration_kills_the_worker():
    outcomes = call_each(f"{HERE}:double", [1, 2, 3])
    assert next(outcomes).value == 2
    outcomes.close()


def test_no_items_start_no_process():
    assert list(call_each(f"{HERE}:absent", [])) == []


def test_single_calls_share_a_process_until_it_must_be_killed():
    with Deadline(f"{HERE}:process_or_sleep", seconds=0.5) as call:
        first, again = call(0), call(0)
        assert first.value == again.value
        assert call(1).error == "timed out after 0.5 s"
        assert call(0).value != first.value


def test_memory_is_capped():
    pytest.importorskip("resource")
    with Deadline(f"{HERE}:hoard") as call:
        assert call(9 * 2**30).error == "out of memory"
