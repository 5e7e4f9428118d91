"""How fast a run goes: throughput of the last window and the time left of its budget."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

__all__ = ["Pace"]

WINDOW = 64  # steps
OUTLIER = 5.0  # a step this many times the median was compiling or writing, and says nothing of the next


@dataclass
class Pace:
    """Seconds and samples of the last `WINDOW` steps."""

    steps: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, seconds: float, samples: int) -> None:
        """Note one step."""
        self.steps.append((seconds, samples))

    @property
    def rate(self) -> float:
        """Samples per second, steps that took five times the median left out; 0 before the first step."""
        usual = self._usual()
        seconds = sum(s for s, _ in usual)
        return sum(n for _, n in usual) / seconds if seconds else 0.0

    @property
    def step_seconds(self) -> float:
        """Mean duration of the same steps; 0 before the first."""
        usual = self._usual()
        return sum(s for s, _ in usual) / len(usual) if usual else 0.0

    def seconds_left(self, step: int, seconds: float, steps: int | None, minutes: float | None) -> float:
        """Until the first of the two budgets is spent, given what is: `step` steps and `seconds` seconds."""
        by_clock = 60 * minutes - seconds if minutes else float("inf")
        by_steps = (steps - step) * self.step_seconds if steps else float("inf")
        return max(0.0, min(by_clock, by_steps))

    def _usual(self) -> list[tuple[float, int]]:
        if not self.steps:
            return []
        limit = OUTLIER * median(s for s, _ in self.steps)
        return [(s, n) for s, n in self.steps if s <= limit]
