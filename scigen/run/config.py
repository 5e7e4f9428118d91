"""Training presets: YAML checked against one schema, unknown keys refused with a suggestion."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from scigen.errors import UsageError
from scigen.run.schema import Config, MoleculeConfig

__all__ = ["load_config", "presets"]

MAX_BYTES = 100_000
MAX_BRACKETS = 1000  # PyYAML takes time quadratic in open brackets


def presets() -> dict[str, Path]:
    """Preset files by name (`molecules/qm9`): those of the wheel, or of the repository when run from it."""
    package = Path(__file__).resolve().parents[1]
    roots = [root for root in (package / "configs", package.parent / "configs") if root.is_dir()]
    return {
        str(f.relative_to(root).with_suffix("")): f for root in reversed(roots) for f in sorted(root.rglob("*.yaml"))
    }


def load_config(name: str, overrides: list[str] | None = None) -> Config:
    """A preset by name or a YAML file by path, with `a.b=c` overrides; raises `UsageError` naming every wrong key."""
    path = _find(name)
    tree = _parse(_text(path), f"'{path}'")
    if not isinstance(tree, dict):
        raise UsageError(f"'{path}' must hold keys and values, got {type(tree).__name__}.")
    for item in overrides or []:
        _override(tree, item)
    schema = _schema(tree)
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"'{path}': {_explain(error, schema)}") from None


def _schema(tree: dict[str, Any]) -> type[Config]:
    """The schema of the domain that the config names; of molecules when it names none, to say what else is wrong."""
    named = tree.get("domain")
    return next((s for s in get_args(Config) if named in get_args(s.model_fields["domain"].annotation)), MoleculeConfig)


def _find(name: str) -> Path:
    try:
        if Path(name).is_file():
            return Path(name)
    except ValueError:  # a NUL in the name
        pass
    known = presets()
    if name not in known:
        close = difflib.get_close_matches(name, known, 1) or sorted(known)[:1]
        raise UsageError(f"No preset or file '{name}'; did you mean '{''.join(close)}'?")
    return known[name]


def _text(path: Path) -> str:
    with path.open("rb") as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"'{path}' has more than {MAX_BYTES} bytes; a config has a few hundred.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"'{path}' is not text ({error.reason} at byte {error.start}).") from None


def _parse(text: str, where: str) -> Any:
    """YAML without aliases: no config needs them, and a few nested ones grow without bound when printed."""
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise UsageError(f"{where} has more than {MAX_BRACKETS} brackets; no config needs them.")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise UsageError(f"{where} uses YAML aliases (`*name`); write the values out.")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not YAML: {' '.join(str(error).split())[:300]}.") from None


def _override(tree: dict[str, Any], item: str) -> None:
    key, separator, value = item.partition("=")
    if not separator:
        raise UsageError(f"`-s {item}` must read key=value, as in `-s train.lr=3e-4`.")
    *parents, leaf = key.split(".")
    node = tree
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise UsageError(f"`-s {item}`: '{parent}' is a value, not a section.")
    node[leaf] = _parse(value, f"`-s {item}`")


def _explain(error: ValidationError, schema: type[Config]) -> str:
    """Every problem on one line: key, what is wrong, what was given."""
    parts = []
    for problem in error.errors():
        key = ".".join(str(k) for k in problem["loc"])
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(problem["loc"][-1]), _keys(schema, problem["loc"][:-1]), 1)
            parts.append(f"unknown key '{key}'" + (f", did you mean '{close[0]}'?" if close else ""))
        else:
            parts.append(_wrong(key, problem))
    return "; ".join(parts) + "."


def _wrong(key: str, problem: Any) -> str:
    if problem["type"] == "missing":
        return f"the key '{key}' is missing"
    if problem["type"] == "value_error":  # a check of ours: its sentence says it all
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    return f"{key}: {message}, got {repr(problem['input'])[:80]}"


def _keys(schema: type[Config], location: tuple[Any, ...]) -> list[str]:
    model: Any = schema
    for name in location:
        model = model.model_fields[name].annotation
    return list(model.model_fields)
