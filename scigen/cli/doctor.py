"""`scigen doctor`: what is installed, what is missing and how to get it. Writes nothing."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata, util
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["doctor", "examine"]

_CORE = ("torch", "numpy", "scipy", "rdkit", "torch-geometric", "e3nn", "typer", "rich", "pydantic", "safetensors")
# What each optional engine is for: distribution, module, extra, what is lost without it.
_OPTIONAL = (
    ("posebusters", "posebusters", "metrics", "PoseBusters validity"),
    ("fcd_torch", "fcd_torch", "metrics", "Fréchet ChemNet distance"),
    ("tblite", "tblite", "energy", "GFN2-xTB relaxation energies"),
    ("qm9pack", "qm9pack", "data", "`scigen data prepare qm9`"),
)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Show versions, optional engines, the cache folder and the shipped weights."""
    facts = examine()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for title, rows in facts.items():
        typer.echo(title)
        width = max((len(name) for name in rows), default=0)
        for name, value in rows.items():
            typer.echo(f"  {name:<{width}}  {value}")


def examine() -> dict[str, dict[str, Any]]:
    """The facts `doctor` shows, as sections of name -> value; nothing is downloaded, created or changed."""
    return {
        "system": _system(),
        "packages": {name: _version(name) or "missing: pip install scigen" for name in _CORE},
        "optional engines": {name: _optional(name, module, extra, use) for name, module, extra, use in _OPTIONAL},
        "torch": _torch(),
        "cache": _cache(),
        "weights": _weights(),
    }


def _system() -> dict[str, Any]:
    from scigen import __version__

    return {
        "scigen": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _optional(name: str, module: str, extra: str, use: str) -> str:
    # find_spec only looks: some engines print or fail when they are imported.
    if util.find_spec(module) is None:
        return f"missing, so no {use}: pip install 'scigen[{extra}]'"
    return f"{_version(name) or 'present'} ({use})"


def _torch() -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        return {"torch": f"cannot be imported: {error}"}
    cuda = torch.cuda.is_available()
    return {
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(0) if cuda else "cpu",
        "bf16": torch.cuda.is_bf16_supported() if cuda else _cpu_bf16(),
    }


def _cpu_bf16() -> str:
    flags = Path("/proc/cpuinfo")
    text = flags.read_text(errors="replace") if flags.exists() else ""
    return "native" if "avx512_bf16" in text or "amx_bf16" in text else "emulated"


def _cache() -> dict[str, Any]:
    from scigen.cache import cache_dir

    folder = cache_dir()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 1e6
    return {"folder": str(folder), "content": f"{len(files)} files, {size:.1f} MB"}


def _weights() -> dict[str, Any]:
    from scigen.run.weights import shipped

    rows = {name: f"{path.stat().st_size / 1e6:.1f} MB" for name, path in shipped().items()}
    return rows or {"none": "the package holds no weights; reinstall scigen or train your own"}
