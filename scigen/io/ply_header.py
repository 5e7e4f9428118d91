"""The header of a PLY file: which elements follow, how many of each, and how their properties are stored.

Format: G. Turk, "The PLY Polygon File Format" (1994).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Element", "Header", "Property", "parse_header"]

_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"}
_TYPES |= {"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_FIRST_LINE = re.compile(rb"ply[ \t]*(\r\n|\n|\r)")
_MAX_HEADER = 1_000_000  # bytes
_MAX_DIGITS = 18  # of a count; it must fit in 64 bits before it can be compared with anything


@dataclass(frozen=True)
class Property:
    """A property: its name, its numpy type (`f4`), and for a list the type of the number before the values."""

    name: str
    kind: str
    count: str | None = None


@dataclass(frozen=True)
class Element:
    """`count` records of the same properties."""

    name: str
    count: int
    properties: tuple[Property, ...]


@dataclass(frozen=True)
class Header:
    """Byte order (`<`, `>`, or empty for text), the elements in the order of the file, and where the first begins."""

    order: str
    elements: tuple[Element, ...]
    end: int


def parse_header(data: bytes) -> Header:
    """Read the header at the start of `data`. Raises ValueError with the line where it is not one."""
    first = _FIRST_LINE.match(data)
    if first is None:
        raise ValueError("the first line is not `ply`")
    # The line end of the first line decides: after a bare return, a binary body may well begin with a line feed.
    end = re.compile(rb"(?<=[\r\n])end_header[ \t]*" + first[1]).search(data, 0, _MAX_HEADER)
    if end is None:
        raise ValueError("no `end_header` line; the header was cut")
    lines = data[first.end() : end.start()].decode("ascii", "replace").splitlines()
    order, elements = None, []  # type: str | None, list[Element]
    for number, line in enumerate(lines, start=2):
        words = line.split() or ["comment"]
        try:
            if words[0] == "format" and order is None:
                order = _order(words)
            elif words[0] == "element":
                elements.append(_element(words))
            elif words[0] == "property" and elements:
                last = elements[-1]
                elements[-1] = Element(last.name, last.count, (*last.properties, _property(words)))
            elif words[0] not in ("comment", "obj_info"):
                raise ValueError("is out of place")
        except ValueError as error:
            raise ValueError(f"line {number}: `{line.strip()[:40]}` {error}") from error
    return Header(_checked(order, elements), tuple(elements), end.end())


def _order(words: list[str]) -> str:
    if len(words) != 3 or words[1] not in _ORDERS or words[2] != "1.0":
        raise ValueError("is not `format ascii|binary_little_endian|binary_big_endian 1.0`")
    return _ORDERS[words[1]]


def _element(words: list[str]) -> Element:
    if len(words) != 3 or not words[2].isdigit() or len(words[2]) > _MAX_DIGITS:
        raise ValueError("is not `element NAME COUNT`")
    return Element(words[1], int(words[2]), ())


def _property(words: list[str]) -> Property:
    if len(words) == 3 and words[1] in _TYPES:
        return Property(words[2], _TYPES[words[1]])
    if len(words) == 5 and words[1] == "list" and words[2] in _TYPES and words[3] in _TYPES:
        return Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
    raise ValueError("is not `property TYPE NAME` or `property list TYPE TYPE NAME`")


def _checked(order: str | None, elements: list[Element]) -> str:
    if order is None:
        raise ValueError("no `format` line")
    names = [element.name for element in elements]
    if len(set(names)) != len(names):
        raise ValueError("two elements have the same name")
    for element in elements:
        names = [p.name for p in element.properties]
        if len(set(names)) != len(names) or (element.count and not names):
            raise ValueError(f"the properties of the element `{element.name}` are missing or named twice")
    return order
