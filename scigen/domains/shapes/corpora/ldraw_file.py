"""LDraw files: lines of references (1), triangles (3) and quadrilaterals (4), and the winding that BFC states.

LDraw has -y up and units of 0.4 mm. A reference carries a 3 x 4 transform and names another file of the library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scigen.errors import InputError
from scigen.io.lines import read_lines
from scigen.io.shape import Mesh
from scigen.io.sound import sound_mesh

__all__ = ["Library", "heading"]

_MILLIMETRES = 0.4
_DEEPEST = 30  # references within references
_MOST = 2_000_000  # triangles of one part
_TINY = 1e-9  # squared length of twice a triangle's area, in LDraw units, below which it has none
_PLACES = ("parts", "p", "models", "")


@dataclass(frozen=True)
class _Triangles:
    """`corners [T, 3, 3]`, and whether each one's winding is stated, `[T]`."""

    corners: np.ndarray
    certified: np.ndarray


@dataclass
class _Reading:
    """What the lines so far have said: the winding of the file, and whether the next reference is inside out."""

    certified: bool = False
    flipped: bool = False
    invert_next: bool = False
    rows: list[list[float]] = field(default_factory=list)
    sure: list[bool] = field(default_factory=list)
    parts: list[_Triangles] = field(default_factory=list)


class Library:
    """The files of an LDraw folder, each resolved once; names are matched without regard to case."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Path] = {}
        for place in reversed(_PLACES):  # `parts` comes last, so it wins
            base = folder / place
            for path in base.rglob("*") if place else base.glob("*"):
                if path.suffix.lower() == ".dat":
                    self._files[path.relative_to(base).as_posix().lower()] = path
        self._known: dict[Path, _Triangles] = {}

    def mesh(self, path: Path) -> Mesh:
        """A part as a mesh in millimetres, y up; equal corners are one vertex, triangles without area are left out.

        Raises `InputError` for a part without triangles and whatever cannot be read or found.
        """
        corners = self._triangles(path, 0).corners
        area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        corners = corners[(area**2).sum(1) > _TINY]
        if not len(corners):
            raise InputError(f"`{path}` has no triangles.")
        flat = np.round(corners.reshape(-1, 3), 4) * _MILLIMETRES * np.array([1.0, -1.0, -1.0])
        vertices, faces = np.unique(flat, axis=0, return_inverse=True)
        return sound_mesh(vertices, faces.reshape(-1, 3))

    def certified(self, path: Path) -> bool:
        """Whether every triangle of the part has a stated winding, so that its normals point outwards."""
        return bool(self._triangles(path, 0).certified.all())

    def _triangles(self, path: Path, depth: int) -> _Triangles:
        if path not in self._known:
            if depth > _DEEPEST:
                raise InputError(f"`{path}`: references go deeper than {_DEEPEST}; a file refers to itself.")
            self._known[path] = self._read(path, depth)
        return self._known[path]

    def _read(self, path: Path, depth: int) -> _Triangles:
        state = _Reading()
        for number, line in enumerate(read_lines(path), start=1):
            words = line.split()
            try:
                if words[:2] == ["0", "BFC"]:
                    _obey(state, words[2:])
                elif words[:1] == ["1"]:
                    self._refer(state, words, depth)
                elif words[:1] in (["3"], ["4"]):
                    _polygon(state, [float(word) for word in words[2 : 2 + 3 * int(words[0])]], int(words[0]))
            except ValueError as error:
                raise InputError(f"`{path}`, line {number}: {error}.") from error
        own = np.array(state.rows, dtype=np.float64).reshape(-1, 3, 3)
        parts = [*state.parts, _Triangles(own, np.array(state.sure, dtype=bool))]
        whole = _Triangles(
            np.concatenate([part.corners for part in parts]), np.concatenate([part.certified for part in parts])
        )
        if len(whole.corners) > _MOST or not np.isfinite(whole.corners).all():
            raise InputError(f"`{path}`: {len(whole.corners):,} triangles, or infinite ones; it is no part.")
        return whole

    def _refer(self, state: _Reading, words: list[str], depth: int) -> None:
        """Line type 1: colour, x y z, the rows a..i of the matrix, and a file."""
        numbers = np.array([float(word) for word in words[2:14]])
        name = " ".join(words[14:]).replace("\\", "/").lower()
        if numbers.shape != (12,) or name not in self._files:
            raise ValueError(f"the reference to '{name}' leads nowhere; the library must be whole")
        part = self._triangles(self._files[name], depth + 1)
        matrix, corners = numbers[3:].reshape(3, 3), part.corners
        inverted, state.invert_next = state.invert_next, False
        if inverted != (np.linalg.det(matrix) < 0):  # a mirror turns the winding, and so does the file's wish
            corners = corners[:, ::-1]
        state.parts.append(_Triangles(corners @ matrix.T + numbers[:3], part.certified & state.certified))


def heading(path: Path) -> tuple[str, str]:
    """Title (first line) and family: the first word of `!CATEGORY`, else of the title. Raises `InputError`."""
    title, family = "", ""
    for line in read_lines(path):
        words = line.split()
        if words[:1] not in ([], ["0"]):
            break
        if not title and len(words) > 1:
            title = " ".join(words[1:])
        if words[1:2] == ["!CATEGORY"] and len(words) > 2:
            family = words[2]
    return title, (family or title.split(" ")[0]).strip(",.").capitalize()


def _obey(state: _Reading, words: list[str]) -> None:
    """A BFC statement; `CERTIFY` alone means counter-clockwise."""
    if "NOCERTIFY" in words:
        state.certified = False
    elif "CERTIFY" in words:
        state.certified = True
    if "CW" in words or "CCW" in words:
        state.flipped = "CW" in words
        state.certified |= "NOCERTIFY" not in words
    if "INVERTNEXT" in words:
        state.invert_next = True


def _polygon(state: _Reading, numbers: list[float], corners: int) -> None:
    """Line types 3 and 4: a triangle, or the two of a convex quadrilateral along its first diagonal."""
    if len(numbers) != 3 * corners:
        raise ValueError(f"{len(numbers)} coordinates, and {3 * corners} are needed")
    points = [numbers[3 * k : 3 * k + 3] for k in range(corners)]
    for a, b, c in [(0, 1, 2), (0, 2, 3)][: corners - 2]:
        order = (c, b, a) if state.flipped else (a, b, c)
        state.rows.append([x for k in order for x in points[k]])
        state.sure.append(state.certified)
