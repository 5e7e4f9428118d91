"""Files are old or new, never half: kills, full disks and read-only folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scigen.errors import ResourceError
from scigen.io.atomic import atomic_file, make_folder, write_bytes, write_text

try:
    import resource
except ImportError:  # not a Unix
    resource = None


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 4 kB: what a full disk feels like, with EFBIG for ENOSPC.

    For the write alone: the test runner's own log may be a longer file.
    """
    if resource is None:
        pytest.skip("needs a Unix")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_new_content_replaces_old(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / "a.txt", "new é")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new é"
    assert leftovers(tmp_path) == ["a.txt"]


def test_an_exception_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a.txt") as handle:
        handle.write(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert leftovers(tmp_path) == ["a.txt"]


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    refused = pytest.raises(ResourceError, match=r"cannot write `.*a\.txt`: file too large; raise the file size limit")
    with refused, full_disk():
        write_bytes(tmp_path / "a.txt", bytes(100_000))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert leftovers(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/a.txt", "create the folder first"),
        ("file/a.txt", "a part of the path is a file"),
        ("folder", "choose the name of a file"),
        ("x" * 300, "choose a shorter name"),
    ],
)
def test_paths_that_cannot_be_written(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=reason):
        write_text(tmp_path / name, "x")
    assert leftovers(tmp_path) == ["file", "folder"]


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert leftovers(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="is a file, and a folder is needed"):
        make_folder(tmp_path / "file")
    # Root may write anywhere, so a read-only disk is played by the system call.
    monkeypatch.setattr("builtins.open", _read_only)
    with pytest.raises(ResourceError, match="read-only file system; choose a folder on a writable disk"):
        make_folder(tmp_path / "a")


def _read_only(*args: object, **kwargs: object) -> None:
    raise OSError(30, "Read-only file system")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root ignores permission bits")
def test_permission_bits(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="permission denied"):
        make_folder(tmp_path)


def test_kills_never_leave_half_a_file(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom scigen.io.atomic import write_bytes\nprint('go', flush=True)\ni = 0\n"
        "while True:\n    i = (i + 1) % 256\n    write_bytes(sys.argv[1], bytes([i]) * 2_000_000)\n"
    )
    path = tmp_path / "a.bin"
    for attempt in range(8):
        child = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"go\n"
        time.sleep(0.02 + 0.013 * attempt)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        data = path.read_bytes() if path.exists() else b""
        assert len(data) in (0, 2_000_000) and len(set(data)) <= 1
