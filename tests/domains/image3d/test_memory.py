"""The memory that the package carries: what is in it, what rounding costs, and that it needs no cache."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.domains.image3d.carve import Carving, carve
from scigen.domains.image3d.memory import memory_of, representatives, rounded
from scigen.domains.image3d.prior import RetrievalPrior
from scigen.domains.image3d.rendering import render_set
from scigen.domains.image3d.score import score_views
from scigen.domains.image3d.viewset import MEMORY, ViewSet, load_views, save_views, shipped_views
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.sets import SPLITS
from scigen.errors import InputError
from scigen.metrics.mesh_pairs import volume_overlap
from scigen.run.report import sha256

SHAPES = ProceduralSet(3, families=[FAMILIES[k] for k in (0, 5, 12)])


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return render_set(SHAPES, 32, 1).views


@pytest.fixture(scope="module")
def memory() -> ViewSet:
    return load_views(MEMORY)


def test_the_shipped_file_is_what_its_card_says(memory: ViewSet) -> None:
    path = shipped_views()[MEMORY]
    card = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size < 5e6 and sha256(path) == card["sha256"]
    assert memory.content_hash() == card["content_sha256"] and len(memory) == card["shapes"] == 760
    assert (memory.split == SPLITS.index("train")).all() and len(set(memory.ids.tolist())) == len(memory)
    assert (np.bincount(memory.category) == 40).all() and memory.categories == tuple(card["classes"])
    assert card["licence"] == memory.licence and "CC0" in card["licence"] and card["seed"] == 0
    made = ProceduralSet(200)
    split = dict(zip(made.ids.tolist(), made.split))
    assert all(split[name] == SPLITS.index("train") for name in memory.ids.tolist())


def test_it_is_found_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: ViewSet) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    assert load_views(MEMORY).content_hash() == memory.content_hash() and not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=MEMORY):
        load_views("procedural")


def test_what_it_remembers_is_what_the_seed_renders(memory: ViewSet) -> None:
    k = int(np.flatnonzero(memory.category == memory.categories.index("mug"))[0])
    family = [f for f in FAMILIES if f.name == "mug"]
    number = int(str(memory.ids[k]).rpartition("-")[2])
    made = ProceduralSet(number + 1, families=family)
    true = render_set(_Only(made, number), 48, 4).views
    assert np.array_equal(rounded(true).normal[0], memory.normal[k])
    assert np.array_equal(true.depth[0], memory.depth[k]) and np.array_equal(true.azimuth[0], memory.azimuth[k])


class _Only:
    """One shape of a set."""

    def __init__(self, made: ProceduralSet, k: int) -> None:
        self.name, self.licence, self.categories = made.name, made.licence, made.categories
        self.ids, self.category, self.split = (x[[k]] for x in (made.ids, made.category, made.split))
        self._made, self._k = made, k

    def __len__(self) -> int:
        return 1

    def mesh(self, k: int) -> object:
        return self._made.mesh(self._k)


def test_rounding_costs_nothing_that_matters(views: ViewSet) -> None:
    close = rounded(views)
    assert np.array_equal(close.depth, views.depth) and np.array_equal(rounded(close).normal, close.normal)
    for k in (0, 3, 6):
        score = score_views(close.views(k), views.views(k))
        assert score["mask_iou"] == 1 and score["depth_mae"] == 0 and score["normal_angle"] < 1
        meshes, true = [carve(one.views(k), Carving(64)) for one in (views, close)], SHAPES.mesh(k)
        a, b = (volume_overlap((m.vertices, m.faces), (true.vertices, true.faces)).iou for m in meshes)
        assert abs(a - b) < 0.005
    order = [RetrievalPrior(one, np.arange(9)).nearest(views.subject(0, 0), 3) for one in (views, close)]
    assert order[0] == order[1], "greys of 16 levels are enough to compare by"


def test_representatives_stand_for_the_others() -> None:
    x = np.concatenate([np.random.default_rng(0).normal(c, 0.1, (8, 2)) for c in (0, 3, 9)])
    apart = np.linalg.norm(x[:, None] - x[None], axis=-1)
    found = representatives(apart, 3)
    assert sorted(k // 8 for k in found) == [0, 1, 2], "one of each heap"
    best = min(apart[list(c)].min(0).sum() for c in combinations(range(24), 3))
    assert apart[found].min(0).sum() < 1.25 * best
    assert representatives(apart, 99).tolist() == list(range(24)) and len(representatives(apart[:0, :0], 3)) == 0
    twins = representatives(np.zeros((4, 4)), 3)
    assert len(set(twins.tolist())) == 3


def test_only_training_shapes_are_remembered(views: ViewSet) -> None:
    mixed = replace(views, split=np.array([0, 1, 0, 2, 0, 0, 1, 1, 1], np.uint8))
    made = memory_of(mixed, 1)
    assert made.name == "procedural-memory" and list(made.category) == [0, 1]
    assert set(made.ids) <= set(views.ids[mixed.split == 0])
    with pytest.raises(InputError, match="no training shapes"):
        memory_of(replace(views, split=np.ones(9, np.uint8)), 1)


def test_the_command_writes_the_file_and_its_card(
    views: ViewSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    save_views(tmp_path / "all.npz", replace(views, split=np.zeros(9, np.uint8)))
    words = ["data", "memory", str(tmp_path / "all.npz"), "--per-class", "2"]
    assert run([*words, "--out", str(tmp_path / "small.npz")]) == 0
    assert "6 of 9 training shapes" in capsys.readouterr().err
    card = json.loads((tmp_path / "small.json").read_text())
    assert card["sha256"] == sha256(tmp_path / "small.npz") and len(load_views(tmp_path / "small.npz")) == 6
    assert run([*words, "--out", str(tmp_path / "small.zip")]) == 2
    assert run(["data", "memory", "nowhere", "--out", str(tmp_path / "x.npz")]) == 3
    assert run(["data", "prepare", "views", "procedural", "--per-family", "1", "--name", MEMORY]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 3 and "small.zip" in err and "nowhere" in err and MEMORY in err
