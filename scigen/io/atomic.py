"""Files that are either old or new, never half: temporary neighbour, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from scigen.errors import ResourceError

__all__ = ["atomic_file", "make_folder", "write_bytes", "write_text"]

_ADVICE = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EFBIG: "raise the file size limit or choose another folder",
    errno.EROFS: "choose a folder on a writable disk",
    errno.ENOENT: "create the folder first",
    errno.EISDIR: "choose the name of a file",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open `path` for writing bytes so that the new content appears whole at the end, or not at all.

    The old file stays until the rename; on any exception the temporary neighbour `.name.xxxxxxxx.tmp` is removed.
    Raises ResourceError when the disk, a limit or a permission stops the write.
    """
    path = Path(path)
    temp = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temp, "xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temp, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        with suppress(OSError):
            temp.unlink()


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically. Raises ResourceError when it cannot be written."""
    with atomic_file(path) as handle:
        handle.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically as UTF-8. Raises ResourceError when it cannot be written."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def make_folder(path: str | Path) -> Path:
    """Create the folder `path` with its parents and return it. Raises ResourceError when it is not writable."""
    path = Path(path)
    probe = path / f".{secrets.token_hex(4)}.tmp"
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Only a write shows that a folder is writable: permission bits say nothing of mounts, quotas or root.
        with open(probe, "xb"):
            pass
        probe.unlink()
    except FileExistsError as error:
        raise ResourceError(f"`{path}` is a file, and a folder is needed; choose another name.") from error
    except OSError as error:
        raise refused(path, error) from error
    return path


def refused(path: Path, error: OSError) -> ResourceError:
    """The sentence for a write that the machine refused."""
    advice = _ADVICE.get(error.errno or 0, "choose a folder you may write to")
    return ResourceError(f"cannot write `{path}`: {(error.strerror or str(error)).lower()}; {advice}.")


def _sync_folder(folder: Path) -> None:
    # Without this a power cut may forget the rename. Some systems do not open folders at all.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
