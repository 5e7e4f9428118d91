"""The notebooks run from top to bottom, their assertions included, and carry the pictures they draw."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest

FILES = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


def code(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    with matplotlib.rc_context():
        names: dict[str, object] = {"__name__": "__main__"}
        for k, cell in enumerate(code(path)):
            exec(compile("".join(cell["source"]), f"{path.name}, cell {k}", "exec"), names)  # noqa: S102


@every_notebook
def test_a_notebook_was_executed_in_order(path: Path) -> None:
    cells = code(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert path.stat().st_size < 2_000_000
