"""`python -m scigen` is the `scigen` program."""

from __future__ import annotations

from scigen.cli.app import main

if __name__ == "__main__":
    main()
