"""Where prepared data live: one folder outside the repository."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """`$SCIGEN_CACHE`, else `$XDG_CACHE_HOME/scigen`, else `~/.cache/scigen`."""
    if root := os.environ.get("SCIGEN_CACHE"):
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scigen"
