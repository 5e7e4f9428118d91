"""Whole files as bytes, and numbers out of their text; memory is bounded by the size of the file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np

from scigen.errors import InputError
from scigen.io.lines import input_size

__all__ = ["MAX_BYTES", "parse_rows", "parse_stream", "read_raw"]

MAX_BYTES = 2_000_000_000  # text of this size becomes up to four times as many bytes of float64


def read_raw(path: str | Path) -> bytes:
    """The bytes of `path`. Raises InputError when it is missing, empty, unreadable or larger than `MAX_BYTES`."""
    size = input_size(path)
    if size > MAX_BYTES:
        raise InputError(f"`{path}` has {size / 1e9:.1f} GB, and {MAX_BYTES / 1e9:.0f} GB are read; thin it out first.")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error}.") from error


def parse_rows(text: bytes) -> np.ndarray:
    """Numbers `[rows, columns]`, float64, of lines of blank-separated decimal numbers, every line as long as the first.

    Raises ValueError with the row (counted from 1, blank lines skipped) where a word is no number or a line differs.
    """
    if not text.strip():
        return np.zeros((0, 0))
    try:
        return np.loadtxt(io.BytesIO(text), dtype=np.float64, comments=None, ndmin=2)
    except ValueError as error:
        raise ValueError(_first_bad_row(text) or str(error)) from error


def parse_stream(text: bytes) -> np.ndarray:
    """All numbers of `text` as one flat float64 array, across line ends. Raises ValueError for other words."""
    if not text.strip():
        return np.zeros(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # how older numpy tells that it stopped early
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise ValueError(_first_bad_row(text, ragged=True) or "a word is not a number") from error


def _first_bad_row(text: bytes, ragged: bool = False) -> str:
    """Where and why the text is no table: said again in our words, found the slow way."""
    rows = (words for words in map(bytes.split, io.BytesIO(text)) if words)
    columns = 0
    for number, words in enumerate(rows, start=1):
        columns = columns or len(words)
        for word in words:
            try:
                float(word)
            except ValueError:
                return f"row {number}: `{word[:20].decode('ascii', 'replace')}` is not a number"
        if len(words) != columns and not ragged:
            return f"row {number} has {len(words)} columns, and the first row has {columns}"
    return ""
