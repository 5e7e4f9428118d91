"""Lines of a text file that nobody vouches for: missing, empty, binary, endless and exploding files are refused.

Memory stays bounded by one line whatever the file holds.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scigen.errors import InputError

__all__ = ["MAX_LINE", "input_size", "read_lines"]

MAX_LINE = 1_000_000  # characters
_MAX_EXPANSION = 100  # a gzip of coordinates shrinks 3 to 10 times, a bomb a thousand times
_FREE_EXPANSION = 4_000_000  # bytes any gzip may grow to


def input_size(path: str | Path) -> int:
    """Size of `path` in bytes. Raises InputError when it is missing, no regular file, or empty."""
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"`{path}` does not exist; check the path.")
        if not path.is_file():
            raise InputError(f"`{path}` is not a regular file; name a file.")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read: {error}.") from error
    if size == 0:
        raise InputError(f"`{path}` is empty; nothing can be read from it.")
    return size


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file, gzip if the name ends in `.gz`, without their line ends.

    Undecodable bytes become U+FFFD. Raises InputError for a missing, empty or binary file, a line of more than
    `MAX_LINE` characters, a broken gzip stream, or one that grows out of proportion.
    """
    path = Path(path)
    size = input_size(path)
    packed = path.suffix.lower() == ".gz"
    budget = max(_FREE_EXPANSION, _MAX_EXPANSION * size) if packed else size
    try:
        with gzip.open(path, "rb") if packed else open(path, "rb") as handle:
            yield from _decode(handle, path, budget)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"`{path}` is not a whole gzip file: {error}.") from error
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error}.") from error


def _decode(handle: BinaryIO | gzip.GzipFile, path: Path, budget: int) -> Iterator[str]:
    for number, raw in enumerate(iter(lambda: handle.readline(MAX_LINE + 1), b""), start=1):
        budget -= len(raw)
        if len(raw) > MAX_LINE:
            raise InputError(f"`{path}`, line {number}: longer than {MAX_LINE} characters; this is not a text format.")
        if b"\0" in raw:
            raise InputError(f"`{path}`, line {number}: holds a NUL byte; this is a binary file, not text.")
        if budget < 0:
            raise InputError(f"`{path}` unpacks to more than {_MAX_EXPANSION} times its size; unpack it by hand first.")
        text = raw.decode("utf-8", errors="replace").rstrip("\r\n")
        yield text.removeprefix("\ufeff") if number == 1 else text
