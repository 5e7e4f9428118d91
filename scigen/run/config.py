"""Training presets: YAML checked against one schema, unknown keys refused with a suggestion."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scigen.errors import UsageError

__all__ = ["Config", "load_config", "presets"]

MAX_BYTES = 100_000
MAX_BRACKETS = 1000  # PyYAML takes time quadratic in open brackets


Momentum = Annotated[float, Field(ge=0, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkConfig(_Strict):
    """Shape of the molecule network (see `nn.transformer.TransformerConfig` and `nn.tensor_product`)."""

    kind: Literal["transformer", "e3nn"] = "transformer"
    width: int = Field(192, ge=8)
    pair: int = Field(32, ge=4)
    message: int = Field(64, ge=4)
    vectors: int = Field(16, ge=1)
    heads: int = Field(8, ge=1)
    layers: int = Field(8, ge=1)
    tensors: int = Field(8, ge=0)  # degree-2 tensors per atom, e3nn only

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> NetworkConfig:
        if self.kind == "transformer" and self.width % self.heads:
            raise ValueError(f"`width` must be a multiple of `heads`, got {self.width} and {self.heads}")
        return self


class LossConfig(_Strict):
    """Weights of the loss terms (see `domains.molecules.loss.LossConfig`)."""

    snr_cap: float = Field(25.0, gt=0)
    atom: float = Field(0.2, ge=0)
    bond: float = Field(1.0, ge=0)
    length: float = Field(2.0, ge=0)
    length_until: float = Field(0.3, ge=0, le=1)
    self_condition: float = Field(0.5, ge=0, le=1)


class TrainConfig(_Strict):
    """Optimisation; `batch` is per worker."""

    batch: int = Field(64, ge=1)
    lr: float = Field(1e-3, gt=0)
    warmup: int = Field(500, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Momentum, Momentum] = (0.9, 0.99)
    clip: float = Field(1.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    checkpoint_minutes: float = Field(3.0, gt=0)
    seed: int = Field(0, ge=0)
    compile: bool = False
    bf16: bool = True


class Config(_Strict):
    """One training run."""

    domain: Literal["molecules"]
    data: str
    licence: str = ""  # of the data and of the weights, for the card
    process: Literal["flow", "vp", "ve", "subvp", "cosine"] = "flow"
    coupling: Literal["independent", "optimal"] = "independent"
    network: NetworkConfig = NetworkConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()


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
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"'{path}': {_explain(error)}") from None


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


def _explain(error: ValidationError) -> str:
    """Every problem on one line: key, what is wrong, what was given."""
    parts = []
    for problem in error.errors():
        key = ".".join(str(k) for k in problem["loc"])
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(problem["loc"][-1]), _keys(problem["loc"][:-1]), 1)
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


def _keys(location: tuple[Any, ...]) -> list[str]:
    model: Any = Config
    for name in location:
        model = model.model_fields[name].annotation
    return list(model.model_fields)
