"""The examples of docs/extending.md run as printed, their own tests with them, and obey the house's rules."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch

from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import sample
from scigen.state import State

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the blocks define, read in order as one file."""
    file = tmp_path_factory.mktemp("page") / "extending.py"
    file.write_text("\n\n".join(BLOCKS), encoding="utf-8")
    return runpy.run_path(str(file))


@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", "\n".join(BLOCKS), flags=re.MULTILINE))
def test_example(page, name):
    page[name]()


def test_every_section_has_its_test():
    assert len(BLOCKS) == 6 and [block.count("def test_") for block in BLOCKS] == [0, 1] * 3
    assert max(len(line) for block in BLOCKS for line in block.splitlines()) <= 120


def test_paths_named_on_the_page_exist():
    root = Path(__file__).resolve().parent.parent
    named = set(re.findall(r"`((?:scigen|tests|docs)/[\w/.]+)`", PAGE))
    assert len(named) >= 8 and not [path for path in named if not (root / path).exists()]


def test_bad_curves_are_refused(page):
    with pytest.raises(ValueError, match="`low` must be below"):
        page["linear_logsnr"](-1.0, 1.0)


def test_the_examples_work_together_on_a_state(page):
    """The new solver moves the new curves; the new process and tokens beside them take their posterior draws."""
    affine = page["linear_logsnr"]()
    parts = {"pos": affine, "mark": page["Erasure"](lambda t: 1 - t), "atom": uniform_tokens(3, keep_of(affine))}
    process, rng = Product(parts), torch.Generator().manual_seed(0)
    fields = {"pos": torch.zeros(2, 4, 3), "mark": torch.zeros(2, 4), "atom": torch.zeros(2, 4, dtype=torch.long)}
    x = process.source(State(fields, torch.ones(2, 4, dtype=torch.bool)), rng)

    def denoise(x_t, t, previous=None):
        return {
            "pos": x_t["pos"] / 2,
            "mark": torch.full((2, 4), 7.0),
            "atom": torch.tensor([0.0, 0.0, 1.0]).expand(2, 4, 3),
        }

    out, _ = sample(process, denoise, x, [1.0, 0.6, 0.2, 0.0], rng, page["midpoint"])
    assert out["pos"].isfinite().all() and out["pos"].dtype == torch.float32
    assert (out["mark"] == 7).all() and out["atom"].float().mean() > 1.5
