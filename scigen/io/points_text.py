"""Strict text tables of points (.xyz .txt .pts .asc .csv): a point a line, columns apart by blanks, commas, semicolons.

An optional first line is the number of points, or the names of the columns. This is not the XYZ of molecules.
A file without a count that was cut between two lines cannot be told from a whole one.
"""

from __future__ import annotations

import re

import numpy as np

from scigen.io.raw import parse_rows
from scigen.io.shape import Cloud
from scigen.io.sound import sound_cloud

__all__ = ["decode_points", "looks_like_points"]

_POINT, _NORMAL = ("x", "y", "z"), ("nx", "ny", "nz")
_COMMENT = re.compile(rb"^[ \t]*(#|//).*$", re.MULTILINE)
_ELEMENT = re.compile(rb"^[ \t]*[A-Z][a-z]?[ \t]", re.MULTILINE)
_UNIT_SLACK = 0.01  # normals printed with two digits
_MAX_DIGITS = 18


def decode_points(data: bytes) -> Cloud:
    """Points, and normals where the columns hold them; all else (colours, intensities, labels) is skipped.

    Columns are found by the names x y z nx ny nz of a header line (`# x y z` and `//X Y Z` count). Without names:
    3 columns are points; 4 points and a scalar; 6 points and unit normals, or points and colours from 0 to 255;
    7 points, a scalar and colours. Raises ValueError with the row where the text is anything else.
    """
    if b"\0" in data:
        raise ValueError("it holds a NUL byte; this is a binary file of another kind")
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    names, count, body = _heading(data)
    if b"#" in body or b"//" in body:
        body = _COMMENT.sub(b"", body)
    try:
        rows = parse_rows(_blank_separated(body))
    except ValueError as error:
        if count is not None and _ELEMENT.search(body):
            raise ValueError("its rows begin with the symbols of elements; this is a molecule, not a cloud") from error
        raise
    if count is not None and count != len(rows):
        raise ValueError(f"{count} points are declared, and {len(rows)} are there; it was cut")
    if not len(rows):
        raise ValueError("it holds no points")
    columns = _named(rows, names) if names else _unnamed(rows)
    return sound_cloud(*columns)


def looks_like_points(data: bytes) -> bool:
    """Whether the text begins with a header of points or with a row of three numbers."""
    names, count, rest = _heading(data[:100_000])
    words = rest.split(b"\n", 1)[0].replace(b",", b" ").replace(b";", b" ").split()
    return bool(names) or count is not None or (len(words) > 2 and all(map(_is_number, words[:3])))


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _heading(data: bytes) -> tuple[list[str], int | None, bytes]:
    """Names of the columns, the declared count, and the lines after them."""
    names: list[str] = []
    count: int | None = None
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        text = data[at:end].strip().decode("ascii", "replace")
        words = re.sub(r"[,;]", " ", text.lstrip("#/")).lower().split()
        commented = text.startswith(("#", "//"))
        if set(_POINT) <= set(words) and not names:
            names = words
        elif count is None and not commented and len(words) == 1 and text.isdigit() and len(text) <= _MAX_DIGITS:
            count = int(text)
        elif words and not commented:
            break
        at = end
    return names, count, data[at:]


def _blank_separated(text: bytes) -> bytes:
    first = next((line for line in text.splitlines() if line.strip()), b"")
    separators = [mark for mark in (b",", b";") if mark in first]
    if not separators:
        return text
    cells = [cell.strip() for cell in first.rstrip(b",; \t").split(separators[0])]
    # `1,5 2,5 3,5` and `1,5;2,5;3,5` are decimal commas; read as separators they would be other points.
    if len(separators) > 1 or any(len(cell.split()) != 1 for cell in cells):
        raise ValueError("numbers are separated in two ways; write decimal points and one separator")
    return text.replace(separators[0], b" ")


def _named(rows: np.ndarray, names: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    if len(names) != rows.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"the header names {len(names)} columns, and a row has {rows.shape[1]}")
    points = rows[:, [names.index(name) for name in _POINT]]
    if not set(_NORMAL) <= set(names):
        return points, None
    return points, rows[:, [names.index(name) for name in _NORMAL]]


def _unnamed(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    width = rows.shape[1]
    if width in (3, 4):
        return rows[:, :3], None
    if width == 6 and _are_normals(rows[:, 3:]):
        return rows[:, :3], rows[:, 3:]
    if width in (6, 7) and _are_colours(rows[:, -3:]):
        return rows[:, :3], None
    raise ValueError(
        f"a row has {width} columns of unknown meaning; name them in a first line, as in `# x y z nx ny nz`"
    )


def _are_normals(columns: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool((np.abs(np.linalg.norm(columns, axis=1) - 1) < _UNIT_SLACK).all())


def _are_colours(columns: np.ndarray) -> bool:
    return bool(((columns >= 0) & (columns <= 255) & (columns == np.round(columns))).all())
