"""Errors a user can act on: one sentence (what is wrong, the offending value, how to mend it) and an exit code."""

from __future__ import annotations

__all__ = ["ScigenError", "UsageError", "InputError", "NumericError", "ResourceError"]


class ScigenError(Exception):
    """Base of every error that reaches a user as one sentence; `exit_code` is what the process returns."""

    exit_code = 1


class UsageError(ScigenError):
    """A wrong option, preset or config key (exit code 2)."""

    exit_code = 2


class InputError(ScigenError):
    """A file or record that cannot be read or is refused (exit code 3)."""

    exit_code = 3


class NumericError(ScigenError):
    """NaN or infinity where a number was expected (exit code 5)."""

    exit_code = 5


class ResourceError(ScigenError):
    """Not enough memory, disk or permission (exit code 6)."""

    exit_code = 6
