"""The README does what it says: its Python runs, its files exist, its commands parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    (scigen [^#\n]+)", README, re.M)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.S))
def test_python_blocks_run(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_point_at_files(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    from scigen.cli.app import app

    command, args = get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands"):
        command = command.commands[args.pop(0)]
    context = command.make_context(line, args, resilient_parsing=False)
    assert context.params


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 8
