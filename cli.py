"""`python cli.py` is the `scigen` program, run from a checkout."""

from __future__ import annotations

from scigen.cli.app import main

if __name__ == "__main__":
    main()
