"""The folder a run leaves behind: `scores.json`, `run.json`, `errors.jsonl`, and a lock while it is being written.

`run.json` holds what is needed to repeat the run: command, config, versions, seed, sha256 of the weights, timings.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from scigen import __version__
from scigen.errors import InputError
from scigen.io.atomic import make_folder, refused, write_text

__all__ = [
    "append_error", "held_folder", "locked_folder", "plain", "sha256", "versions", "write_json", "write_run",
    "write_scores",
]  # fmt: skip

_PACKAGES = ("torch", "numpy", "scipy", "rdkit", "torch-geometric", "e3nn", "safetensors")


@contextmanager
def held_folder(path: str | Path) -> Iterator[Path]:
    """Create the folder `path` and hold it for this run.

    The lock dies with the process, so a crash leaves nothing to clean. Raises InputError while another run holds the
    folder, ResourceError when it cannot be written.
    """
    folder = make_folder(path)
    try:
        handle = open(folder / ".lock", "a")
    except OSError as error:
        raise refused(folder, error) from error
    with handle:
        if not _lock(handle.fileno()):
            raise InputError(f"another run is writing to `{folder}`; choose another `--out` or wait for it.")
        yield folder


@contextmanager
def locked_folder(path: str | Path) -> Iterator[Path]:
    """`held_folder` with an empty `errors.jsonl` to begin with."""
    with held_folder(path) as folder:
        write_text(folder / "errors.jsonl", "")
        yield folder


def append_error(folder: Path, index: int | str, reason: str, **facts: Any) -> None:
    """Add one failed record to `errors.jsonl`: its index, the reason, and whatever else helps. Raises ResourceError."""
    row = json.dumps(plain({"index": index, "reason": reason, **facts}), allow_nan=False)
    try:
        with open(folder / "errors.jsonl", "a", encoding="utf-8") as handle:
            handle.write(row + "\n")
    except OSError as error:
        raise refused(folder / "errors.jsonl", error) from error


def write_scores(folder: Path, scores: Mapping[str, Any]) -> None:
    """Write `scores.json` atomically. Raises ResourceError."""
    write_json(folder / "scores.json", scores)


def write_run(
    folder: Path,
    config: Any,
    seed: int | None,
    weights: Path | None = None,
    timings: Mapping[str, float] | None = None,
    **facts: Any,
) -> None:
    """Write `run.json` atomically: command line, `config` (mapping, dataclass or pydantic model), versions, seed,
    sha256 of the file `weights`, `timings` in seconds, and any further `facts`. Raises ResourceError.
    """
    card = {
        "command": sys.argv,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "config": config,
        "weights": {"file": weights.name, "sha256": sha256(weights)} if weights is not None else None,
        "timings": timings or {},
        "versions": versions(),
        **facts,
    }
    write_json(folder / "run.json", card)


def write_json(path: str | Path, document: Any) -> None:
    """Write strict JSON atomically; NaN and infinities become null. Raises ResourceError."""
    write_text(path, json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read by blocks. Raises InputError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of scigen, Python and the packages whose behaviour shows in the results; nothing is imported."""
    found = {"scigen": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plain(value: Any) -> Any:
    """`value` as JSON knows it: dataclasses, pydantic models, arrays, tensors, paths and NaN included."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors
        return plain(value.tolist())
    return str(value)


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # not a Unix: the second run is not noticed there
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return True
