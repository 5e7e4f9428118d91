"""Strict NPZ archives: sizes are checked from the zip directory and the array headers before a byte is unpacked.

Never a pickle, never an object array, one error family whatever is wrong. Format: NEP 1 (npy) inside a zip.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO, cast

import numpy as np

from scigen.errors import InputError
from scigen.io.atomic import atomic_file
from scigen.io.lines import input_size

__all__ = ["read_npz", "write_npz"]

_MAX_ENTRIES = 1000
_MAX_HEADER = 10_000  # bytes; a header is a short dictionary
_FREE_BYTES = 256_000_000  # any archive may unpack to this much, and to 8 times its own size beyond
_KINDS = "biufcSU"  # numbers and fixed strings; no objects, no records, no dates
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, SyntaxError, LookupError, TypeError)
_BROKEN_TOO = (NotImplementedError, RuntimeError, OverflowError, RecursionError, MemoryError, OSError, TokenError)


def read_npz(path: str | Path, max_bytes: int | None = None, allow_nan: bool = False) -> dict[str, np.ndarray]:
    """Read every array of the archive `path` as name -> array, in the order of the archive.

    `max_bytes` caps the unpacked size (default 256 MB + 8 times the file); `allow_nan` lets NaN and infinities pass.
    Raises InputError for anything that is not a whole, finite archive of plain arrays within the cap.
    """
    path = Path(path)
    cap = _FREE_BYTES + 8 * input_size(path) if max_bytes is None else max_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, cap)
            arrays = {entry.filename.removesuffix(".npy"): _read_entry(archive, entry) for entry in entries}
    except (*_BROKEN, *_BROKEN_TOO) as error:
        raise InputError(f"`{path}` is not a readable NPZ archive: {_text(error)}.") from error
    for name, array in arrays.items():
        if array.dtype.kind in "fc" and not allow_nan and not np.isfinite(array).all():
            raise InputError(f"`{path}`: the array `{name}` holds NaN or infinity; mend the data.")
    return arrays


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray], compress: bool = True) -> None:
    """Write `arrays` (numbers and fixed strings) atomically. Raises ValueError for objects, ResourceError."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind not in _KINDS:
            raise ValueError(f"the array `{name}` has the type {np.asarray(array).dtype}; store numbers or strings.")
    with atomic_file(path) as handle:
        (np.savez_compressed if compress else np.savez)(handle, allow_pickle=False, **arrays)


def _entries(archive: zipfile.ZipFile, cap: int) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if not entries:
        raise ValueError("the archive is empty")
    if len(entries) > _MAX_ENTRIES:
        raise ValueError(f"{len(entries)} entries, and {_MAX_ENTRIES} are read")
    if len(set(names)) != len(names) or not all(name.endswith(".npy") for name in names):
        raise ValueError("the entries must be .npy arrays of different names")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise ValueError("only stored and deflated entries are read")
    total = sum(entry.file_size for entry in entries)
    if total > cap:
        raise ValueError(f"it unpacks to {total / 1e6:.0f} MB, and {cap / 1e6:.0f} MB are allowed")
    return entries


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as handle:
        shape, fortran, dtype = _header(cast(BinaryIO, handle))
        size, held = math.prod(shape) * dtype.itemsize, entry.file_size - handle.tell()
        if size != held:
            raise ValueError(f"`{entry.filename}` declares {dtype} {shape}, {size} bytes, and holds {held}")
        data = bytearray(handle.read())  # the zip checksum is verified when the entry ends
    if len(data) != size:
        raise ValueError(f"`{entry.filename}` ends after {len(data)} of {size} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(handle: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type. The length is read here, before numpy asks for that many bytes."""
    version = np.lib.format.read_magic(handle)
    width, layout = (2, "<H") if version == (1, 0) else (4, "<I")
    (length,) = struct.unpack(layout, handle.read(width))
    if length > _MAX_HEADER:
        raise ValueError(f"a header of {length} bytes")
    text = io.BytesIO(struct.pack(layout, length) + handle.read(length))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(text, max_header_size=_MAX_HEADER)
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise ValueError(f"arrays of type {dtype} are not read")
    if any(extent < 0 for extent in shape):
        raise ValueError(f"the shape {shape}")
    return shape, fortran, dtype


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
