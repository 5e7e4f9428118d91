"""One row of a score table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Score"]


@dataclass(frozen=True)
class Score:
    """A measured value, its 95 % interval, what it counts over, and the same measurement on real data.

    `value` is None when the score could not be measured; `note` then says why and how to mend it. `data` is the
    value of held-out real data under the same definition: the row to compare with, since no rule gives real data
    100 %. `baseline` is the value of a trivial method, which any model must beat, `floor` what two measurements of one
    and the same object score, which none can.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None
    n: int
    definition: str
    data: float | None = None
    baseline: float | None = None
    unit: str = ""
    note: str = ""
    floor: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON types."""
        row = asdict(self)
        row["interval"] = list(self.interval) if self.interval else None
        return row
