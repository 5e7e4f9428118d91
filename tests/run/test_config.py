"""Presets and configs: every mistake named at once, with what was given and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from scigen.errors import UsageError
from scigen.run.config import load_config, presets
from scigen.run.schema import MoleculeConfig


def refused(name: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_config(name, list(overrides))
    return str(caught.value)


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_presets_are_found_by_name_and_are_valid() -> None:
    assert "molecules/qm9" in presets()
    for name, path in presets().items():
        assert load_config(name) == load_config(str(path))


def test_defaults_fill_a_short_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "domain: molecules\ndata: qm9\n"))
    assert config == MoleculeConfig(domain="molecules", data="qm9")
    assert config.process == "flow" and config.train.minutes is None


def test_overrides_reach_into_sections() -> None:
    config = load_config("molecules/qm9", ["train.lr=3e-4", "network.width=64", "process=vp", "train.minutes=null"])
    assert (config.train.lr, config.network.width, config.process, config.train.minutes) == (3e-4, 64, "vp", None)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lrr=1", "unknown key 'train.lrr', did you mean 'lr'?"),
        ("trian.lr=1", "unknown key 'trian', did you mean 'train'?"),
        ("train.batch=0", "train.batch: input should be greater than or equal to 1, got 0"),
        ("train.batch=many", "train.batch"),
        ("train.minutes=.inf", "train.minutes"),
        ("train.minutes=.nan", "train.minutes"),
        ("train.minutes=-5", "got -5"),
        ("train.ema=1", "train.ema"),
        ("train.seed=-1", "train.seed"),
        ("train.betas=[0.9, 1.5]", "train.betas.1"),
        ("process=vpp", "got 'vpp'"),
        ("network.width=100", "`width` must be a multiple of `heads`, got 100 and 8"),
        ("network=3", "network"),
        ("data=null", "data"),
        ("train.lr", "must read key=value"),
        ("train.lr.deep=1", "'lr' is a value, not a section"),
        ("train.lr=[1,", "`-s train.lr=[1,` is not YAML"),
        ("=3", "unknown key ''"),
    ],
)
def test_wrong_overrides(override: str, words: str) -> None:
    assert words in refused("molecules/qm9", override)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = "domain: atoms\nnetwork: {with: 3}\ntrain: {batch: -1, lr: fast}\n"
    message = refused(written(tmp_path, text))
    for words in ("'domain'", "'atoms'", "key 'data' is missing", "'network.with'", "'width'", "got -1", "got 'fast'"):
        assert words.strip("'") in message
    assert message.count(";") == 4 and "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2", "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("", "must hold keys and values, got NoneType"),
        ("- 1\n- 2\n", "must hold keys and values, got list"),
        (b"\xff\xfe\x00a", "is not text"),
        ("x: !!python/object/apply:os.system [echo]", "is not YAML"),
        ("a: &a [x]\nb: *a\n", "aliases"),
        ("[" * 1000, "is not YAML"),
        ("[" * 5000, "brackets"),
        ("- " * 3000, "is not YAML"),
        ("1: 2\n", "1"),
        ("#" * 100_001, "more than 100000 bytes"),
    ],
    ids=[
        "open",
        "colons",
        "empty",
        "list",
        "binary",
        "python",
        "alias",
        "deep",
        "brackets",
        "dashes",
        "number",
        "long",
    ],
)
def test_wrong_files(tmp_path: Path, text: str | bytes, words: str) -> None:
    message = refused(written(tmp_path, text))
    assert words in message and "\n" not in message


@pytest.mark.parametrize("name", ["molecules/qm8", "molecule/qm9", "nothing/like it", "a\0b", "", "."])
def test_unknown_presets_have_a_suggestion(name: str) -> None:
    wanted = "molecules/" if name.startswith("molecule") else ""  # nothing is near the others
    assert f"did you mean '{wanted}" in refused(name)


def test_the_schema_and_the_objects_it_builds_agree_on_defaults() -> None:
    """Each default is written twice, for users and for the library; a drift would train another model than it says."""
    from scigen.domains.molecules.loss import LossConfig
    from scigen.domains.molecules.refine.task import RefineLoss
    from scigen.nn.transformer import TransformerConfig
    from scigen.run import schema

    for written, built in (
        (schema.LossConfig(), LossConfig()),
        (schema.RefineLossConfig(), RefineLoss()),
        (schema.NetworkConfig(), TransformerConfig()),
    ):
        shared = {k: v for k, v in written.model_dump().items() if hasattr(built, k)}
        assert len(shared) >= 4
        assert shared == {k: getattr(built, k) for k in shared}
