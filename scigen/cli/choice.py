"""Options that name one of a few things: the names that commands share, and what is said of a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from scigen.errors import UsageError

__all__ = ["PROCESSES", "checked", "suggest"]

PROCESSES = ("flow", "vp", "ve", "subvp", "cosine")


def checked(option: str, name: str, known: Sequence[str]) -> None:
    """Raise `UsageError`, with a suggestion, for a name that an option does not know."""
    if name not in known:
        raise UsageError(f"`{option} {name}`: there is no such name; {suggest(name, known)}")


def suggest(name: str, names: Sequence[str]) -> str:
    """`did you mean 'x'?` for a misspelt name, else the list of names."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(names)}."
