"""Gates on scores: `--min NAME=VALUE`, `--max NAME=VALUE`, their verdicts, and the JUnit file a CI system shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from typer import Exit

from scigen.cli.choice import suggest
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.metrics.score import Score

__all__ = ["Threshold", "Verdict", "conclude", "judge", "junit", "parse_thresholds"]

_MISSED, _PARTIAL = 1, 4


@dataclass(frozen=True)
class Threshold:
    """A bound on one score; a score equal to the bound passes."""

    name: str
    bound: float
    is_minimum: bool

    def __str__(self) -> str:
        return f"{self.name} {'>=' if self.is_minimum else '<='} {self.bound:g}"


@dataclass(frozen=True)
class Verdict:
    """A threshold and what was measured; a score that could not be measured does not pass."""

    threshold: Threshold
    value: float | None
    passed: bool
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON types."""
        return {**asdict(self.threshold), "value": self.value, "passed": self.passed, "message": self.message}


def parse_thresholds(minimum: Iterable[str], maximum: Iterable[str], names: Sequence[str]) -> list[Threshold]:
    """Read `NAME=VALUE` texts; `95%` means 0.95. Raises `UsageError` for an unknown name or a bad number."""
    return [_parse(text, "--min", names) for text in minimum] + [_parse(text, "--max", names) for text in maximum]


def judge(thresholds: Iterable[Threshold], scores: Iterable[Score]) -> list[Verdict]:
    """The verdict on every threshold, in order."""
    measured = {score.name: score for score in scores}
    return [_judge(threshold, measured.get(threshold.name)) for threshold in thresholds]


def conclude(verdicts: Sequence[Verdict], incomplete: bool) -> None:
    """End the command as its scores say: exit code 1 when a threshold is missed, 4 when some records were left out."""
    if any(not verdict.passed for verdict in verdicts):
        raise Exit(_MISSED)
    if incomplete:
        raise Exit(_PARTIAL)


def junit(verdicts: Sequence[Verdict], suite: str) -> bytes:
    """JUnit XML, one test case per threshold."""
    missed = sum(not verdict.passed for verdict in verdicts)
    root = ElementTree.Element("testsuites", tests=str(len(verdicts)), failures=str(missed))
    cases = ElementTree.SubElement(
        root, "testsuite", name=suite, tests=str(len(verdicts)), failures=str(missed), errors="0", skipped="0"
    )
    for verdict in verdicts:
        case = ElementTree.SubElement(cases, "testcase", classname=suite, name=str(verdict.threshold), time="0")
        if not verdict.passed:
            failure = ElementTree.SubElement(case, "failure", message=verdict.message, type="threshold")
            failure.text = verdict.message
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _parse(text: str, option: str, names: Sequence[str]) -> Threshold:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise UsageError(f"`{option} {text}` is not NAME=VALUE; write for instance `{option} validity=0.95`.")
    if name not in names:
        raise UsageError(f"`{option} {text}`: there is no score '{name}'; {suggest(name, names)}")
    try:
        bound = float(value[:-1]) / 100 if value.endswith("%") else float(value)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise UsageError(f"`{option} {text}`: '{value}' is not a number; write for instance `{option} {name}=0.95`.")
    return Threshold(name, bound, option == "--min")


def _judge(threshold: Threshold, score: Score | None) -> Verdict:
    if score is None or score.value is None:
        why = score.note if score is not None and score.note else "it was not measured"
        return Verdict(threshold, None, False, f"{threshold.name} has no value: {why}")
    passed = score.value >= threshold.bound if threshold.is_minimum else score.value <= threshold.bound
    message = f"{threshold.name} is {score.value:.6g}, the bound is {threshold.bound:g}"
    return Verdict(threshold, score.value, passed, message)
