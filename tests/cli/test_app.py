"""The program's manners: exit codes, one sentence, no traceback, the same program by three names."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

import scigen
from scigen import errors
from scigen.cli.app import run
from scigen.cli.guard import explain, guarded, one_line

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    ["sample"],
    ["score"],
    ["data"],
    ["train"],
    ["check"],
    ["doctor"],
    ["sample", "molecules"],
    ["score", "molecules"],
    ["data", "prepare"],
)
each_command = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("scigen: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


@each_command
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert "Usage: scigen " + " ".join(command) in capsys.readouterr().out


@each_command
def test_unknown_options_are_usage_errors(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--nonsense"]) == 2
    assert "--nonsense" in sentence(capsys)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("doctr", "Did you mean 'doctor'?"),
        ("sample molecule", "Did you mean 'molecules'?"),
        ("doctor --jsn", "--json"),
        ("doctor extra", "extra"),
        ("data prepare", "Missing argument"),
        ("check", "Missing argument"),
        ("train no/such/preset", "no/such/preset"),
        ("check molecules/qm8", "molecules/qm9"),
        ("sample molecules --n none", "none"),
        ("sample molecules --n 0", "0"),
        ("sample molecules --n -3", "-3"),
    ],
)
def test_usage_errors(line: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    assert hint in sentence(capsys)


def test_groups_without_a_command_show_help(capsys: pytest.CaptureFixture[str]) -> None:
    for line in ([], ["sample"], ["score"], ["data"]):
        assert run(line) == 2
        assert "Usage" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"scigen {scigen.__version__}\n"


@pytest.mark.parametrize("program", [["-m", "scigen"], ["cli.py"], [str(Path(sys.executable).parent / "scigen")]])
def test_one_program_with_three_names(program: list[str]) -> None:
    if not program[0].startswith("-") and not (ROOT / program[0]).exists():
        pytest.skip(f"{program[0]} is not installed")
    python = [] if os.access(ROOT / program[0], os.X_OK) else [sys.executable]
    done = subprocess.run([*python, *program, "--version"], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, f"scigen {scigen.__version__}\n")


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.UsageError("a"), 2, "a"),
        (errors.InputError("a"), 3, "a"),
        (errors.NumericError("a"), 5, "a"),
        (errors.ResourceError("a"), 6, "a"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Abort(), 130, "interrupted"),
        (MemoryError(), 6, "memory"),
        (OutOfMemoryError("CUDA"), 6, "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 6, "memory"),
        (OSError(errno.ENOSPC, "No space left on device", "a.sdf"), 6, "`a.sdf`; free some space"),
        (OSError(errno.EROFS, "Read-only file system", "a.sdf"), 6, "writable"),
        (OSError(errno.EACCES, "Permission denied", "a.sdf"), 6, "permissions"),
        (OSError(errno.EFBIG, "File too large"), 6, "output"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.sdf"), 3, "check the path"),
        (ValueError("odd"), 70, "ValueError: odd; run again with --debug"),
    ],
)
def test_every_exception_has_a_code_and_a_sentence(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    assert explain(error)[0] == guarded(work) == code
    assert words in sentence(capsys)


@pytest.mark.parametrize("code", [0, 1, 4])
def test_commands_choose_their_code(code: int) -> None:
    def leave() -> None:
        raise typer.Exit(code)

    assert guarded(leave) == guarded(lambda: code) == code


def test_debug_shows_the_traceback() -> None:
    def work() -> None:
        raise errors.InputError("a")

    with pytest.raises(errors.InputError):
        guarded(work, debug=True)


def test_a_sentence_is_one_line_whatever_the_file_is_called() -> None:
    assert one_line("a\nb\x1b[31m\u202ec") == "a b\\x1b[31m\\x202ec"
    assert len(one_line("x" * 10_000)) == 2000


SCRIPT = "import sys, time\nfrom scigen.cli.guard import guarded\n"


def test_sigterm_unwinds() -> None:
    # A shell that runs the tests in the background hands down an ignored SIGINT; a user's terminal does not.
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + SCRIPT + (
        "def work():\n    try:\n        print('go', flush=True)\n        time.sleep(60)\n"
        "    finally:\n        print('clean', flush=True)\nsys.exit(guarded(work))"
    )
    for number, expected in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "go\n"
        start = time.perf_counter()
        child.send_signal(number)
        out, err = child.communicate(timeout=10)
        assert (child.returncode, out) == (expected, "clean\n") and "Traceback" not in err
        assert time.perf_counter() - start < 5


def test_a_reader_that_leaves_is_no_scandal() -> None:
    code = SCRIPT + "sys.exit(guarded(lambda: [print('x' * 1000) for _ in range(10000)] and None))"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(timeout=20) == 141
    assert child.stderr.read() == b""
    child.stderr.close()


def test_doctor_looks_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "cache"))
    assert run(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["system"]["scigen"] == scigen.__version__
    assert set(facts["optional engines"]) == {"posebusters", "fcd_torch", "tblite", "qm9pack"}
    assert run(["doctor"]) == 0
    assert list(tmp_path.iterdir()) == []
