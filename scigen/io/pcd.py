"""Strict PCD files, the clouds of PCL: text, binary and compressed binary.

Format: "The PCD (Point Cloud Data) file format", version 0.7. Compression: LZF, M. Lehmann.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from scigen.io.raw import parse_rows
from scigen.io.shape import Cloud
from scigen.io.sound import sound_cloud

__all__ = ["decode_pcd"]

_WORDS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
_KINDS = {"F4": "<f4", "F8": "<f8", "I1": "<i1", "I2": "<i2", "I4": "<i4", "I8": "<i8"}
_KINDS |= {"U1": "<u1", "U2": "<u2", "U4": "<u4", "U8": "<u8"}
_MAX_LINE = 10_000
_MAX_DIGITS = 18
_MAX_GROWTH = 88  # LZF: 3 bytes stand for at most 264


@dataclass(frozen=True)
class _Header:
    names: list[str]
    kinds: list[str]
    counts: list[int]  # values of one field of one point
    points: int
    data: str
    end: int


def decode_pcd(data: bytes) -> Cloud:
    """The points x, y, z and, where the file has them, normal_x, normal_y, normal_z; other fields are skipped.

    VIEWPOINT is where the sensor stood; as in PCL the points are not moved by it. Raises ValueError with what was
    expected and what was found.
    """
    header = _header(data)
    body = data[header.end :]
    if header.data == "ascii":
        columns = _text(body, header)
    elif header.data == "binary":
        columns = _binary(body, header)
    else:
        columns = _compressed(body, header)
    points, normals = _vectors(columns, "x", "y", "z"), _vectors(columns, "normal_x", "normal_y", "normal_z")
    if points is None:
        raise ValueError(f"its fields are {' '.join(header.names)[:60]}; x, y and z are needed")
    return sound_cloud(points, normals)


def _header(data: bytes) -> _Header:
    found: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in found:
        end = data.find(b"\n", at, at + _MAX_LINE)
        if end < 0:
            raise ValueError("no DATA line; the header was cut")
        words = data[at:end].decode("ascii", "replace").split()
        at = end + 1
        if not words or words[0].startswith("#"):
            continue
        if words[0] not in _WORDS or words[0] in found:
            raise ValueError(f"`{words[0][:20]}` is out of place in the header")
        found[words[0]] = words[1:]
    try:
        return _parse(found, at)
    except (LookupError, ValueError) as error:
        raise ValueError(f"the header does not hold together: {str(error)[:100]}") from error


def _parse(found: dict[str, list[str]], end: int) -> _Header:
    names = found["FIELDS"]
    kinds = [_KINDS[kind + size] for kind, size in zip(found["TYPE"], found["SIZE"])]
    counts = [_whole(word) for word in found.get("COUNT", ["1"] * len(names))]
    points = _whole(found["POINTS"][0]) if "POINTS" in found else _whole(found["WIDTH"][0]) * _whole(found["HEIGHT"][0])
    if not names or not len(names) == len(kinds) == len(counts) == len(found["SIZE"]):
        raise ValueError(f"{len(names)} FIELDS, {len(found['SIZE'])} SIZE, {len(kinds)} TYPE, {len(counts)} COUNT")
    if "WIDTH" in found and _whole(found["WIDTH"][0]) * _whole(found["HEIGHT"][0]) != points:
        raise ValueError(f"WIDTH x HEIGHT is {found['WIDTH'][0]} x {found['HEIGHT'][0]}, and POINTS is {points}")
    if not points or not all(counts):
        raise ValueError(f"{points} points, fields of {counts} numbers each; none may be 0")
    (data,) = found["DATA"]
    if data not in ("ascii", "binary", "binary_compressed"):
        raise ValueError(f"DATA is `{data[:20]}`, none of ascii, binary, binary_compressed")
    return _Header(names, kinds, counts, points, data, end)


def _whole(word: str) -> int:
    if not word.isdigit() or len(word) > _MAX_DIGITS:
        raise ValueError(f"`{word[:20]}` is not a count")
    return int(word)


def _text(body: bytes, header: _Header) -> dict[str, np.ndarray]:
    rows = parse_rows(body)
    if rows.shape != (header.points, sum(header.counts)):
        raise ValueError(
            f"{header.points} points of {sum(header.counts)} numbers are declared, {len(rows)} of {rows.shape[1]} are "
            "there; it was cut"
        )
    first = np.cumsum(header.counts) - header.counts
    return {name: rows[:, at] for name, at in zip(header.names, first)}


def _binary(body: bytes, header: _Header) -> dict[str, np.ndarray]:
    # Padding fields may share the name `_`, so a field is known by its number.
    layout = [(f"v{i}", kind, (count,)) for i, (kind, count) in enumerate(zip(header.kinds, header.counts))]
    record = np.dtype(layout)
    _check_size(len(body), header, record.itemsize)
    table = np.frombuffer(body, record, header.points)
    return {name: table[f"v{i}"][:, 0] for i, name in enumerate(header.names)}


def _compressed(body: bytes, header: _Header) -> dict[str, np.ndarray]:
    """All values of the first field, then all of the second, packed as one block."""
    if len(body) < 8:
        raise ValueError("the compressed block has no sizes; it was cut")
    packed, unpacked = struct.unpack_from("<II", body)
    widths = [int(kind[2]) * count for kind, count in zip(header.kinds, header.counts)]
    if packed > len(body) - 8 or body[8 + packed :].strip(b"\0\r\n"):
        raise ValueError(f"the compressed block has {packed} bytes, and {len(body) - 8} are there")
    if unpacked > _MAX_GROWTH * packed:
        raise ValueError(f"{packed} compressed bytes cannot hold {unpacked}")
    _check_size(unpacked, header, sum(widths))
    plain = _lzf(body[8 : 8 + packed], unpacked)
    columns, at = {}, 0
    for name, kind, count, width in zip(header.names, header.kinds, header.counts, widths):
        columns[name] = np.frombuffer(plain, kind, header.points * count, at).reshape(-1, count)[:, 0]
        at += width * header.points
    return columns


def _check_size(size: int, header: _Header, width: int) -> None:
    if size != header.points * width:
        raise ValueError(
            f"{header.points} points of {width} bytes are declared, and {size} bytes are there, {size // width} points"
        )


def _lzf(packed: bytes, size: int) -> bytes:
    """Unpack LZF: a byte below 32 announces that many literals and one more, any other a copy of earlier output."""
    out = bytearray()
    at, end = 0, len(packed)
    try:
        while at < end:
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - packed[at] - 1
            at += 1
            if start < 0:
                raise ValueError("the compressed block refers to before its beginning")
            piece = out[start : start + length + 2]
            # A copy may overlap what it writes; then the piece repeats.
            out += (piece * ((length + 2) // len(piece) + 1))[: length + 2]
            if len(out) > size:
                break
    except IndexError as error:
        raise ValueError("the compressed block was cut") from error
    if len(out) != size or at != end:
        raise ValueError(f"the compressed block unpacks to {len(out)} bytes, and {size} are declared")
    return bytes(out)


def _vectors(columns: dict[str, np.ndarray], x: str, y: str, z: str) -> np.ndarray | None:
    if not {x, y, z} <= set(columns):
        return None
    with np.errstate(invalid="ignore"):  # of a signalling NaN; all NaN are counted later
        return np.stack([np.asarray(columns[name], dtype=np.float64) for name in (x, y, z)], axis=1)
