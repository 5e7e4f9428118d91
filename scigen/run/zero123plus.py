"""Zero123++ from a folder of weights and a pipeline file, both on this machine and both named by the user.

The pipeline file is a program, and naming it is asking to run it. Nothing else is run: a folder that brings code of its
own, or weights that would have to be unpickled, is refused before diffusers sees it. Nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scigen.errors import InputError

__all__ = ["load_sheets"]

_LIBRARIES = ("diffusers", "transformers")
_INDEX = "model_index.json"


def load_sheets(
    folder: Path, pipeline: Path, steps: int = 28, guidance: float = 4.0, device: str = "cpu"
) -> Callable[[np.ndarray, int], np.ndarray]:
    """The model as `SheetPrior` takes it: Euler's ancestral sampler, trailing steps, in half precision on a GPU.

    Raises InputError for a folder or file that is not what it should be, and where diffusers is not installed.
    """
    _check(folder, pipeline)
    pipe = _loaded(folder, pipeline, device)

    def imagine(rgba: np.ndarray, seed: int) -> np.ndarray:
        from PIL import Image

        # The pipeline draws some of its noise from the global generator.
        devices = [torch.device(device)] if device.startswith("cuda") else []
        with torch.random.fork_rng(devices), torch.inference_mode():
            torch.manual_seed(seed)
            try:
                own = torch.Generator(device).manual_seed(seed)
                drawn = pipe(
                    Image.fromarray(rgba), num_inference_steps=steps, guidance_scale=guidance, generator=own
                ).images[0]
            except Exception as error:  # whatever a program of others may raise
                raise InputError(
                    f"`{pipeline}` fails on this picture ({_told(error)}); is it the weights' own?"
                ) from error
        return np.asarray(drawn.convert("RGB"))

    return imagine


def _check(folder: Path, pipeline: Path) -> None:
    """Refuse what is not a pipeline's folder, or one that would run code or unpickle."""
    if lacking := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise InputError(f"--prior zero123plus needs {' and '.join(lacking)}; pip install 'scigen[diffusers]'.")
    if not pipeline.is_file() or pipeline.suffix != ".py":
        raise InputError(f"`{pipeline}` is not a pipeline file; name the pipeline.py of Zero123++.")
    index = folder / _INDEX
    try:
        told = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"`{folder}` is not a folder of weights ({_INDEX}: {_told(error)}).") from error
    parts = {k: v for k, v in told.items() if isinstance(v, list) and len(v) == 2} if isinstance(told, dict) else {}
    if not parts:
        raise InputError(f"`{index}` names no parts of a pipeline; give the folder that diffusers saved.")
    for name, (library, _) in parts.items():
        if library is not None and isinstance(library, str) and library not in _LIBRARIES:
            raise InputError(f"`{index}`: `{name}` comes from '{library}', not from diffusers; that would be run.")
    for file in folder.rglob("*.py"):
        if file.resolve() != pipeline.resolve():
            raise InputError(f"`{folder}` brings code ({file.relative_to(folder)}); remove it: weights alone are read.")
    for file in folder.rglob("config.json"):
        if "auto_map" in file.read_text(encoding="utf-8", errors="replace"):
            raise InputError(f"`{file}` asks for code of its own (auto_map); weights alone are read.")


def _loaded(folder: Path, pipeline: Path, device: str) -> Any:
    from diffusers import DiffusionPipeline, EulerAncestralDiscreteScheduler
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for log in (diffusers_logging, transformers_logging):
        log.set_verbosity_error()
        log.disable_progress_bar()
    kind = torch.float16 if device.startswith("cuda") else torch.float32
    try:
        pipe = DiffusionPipeline.from_pretrained(
            str(folder), custom_pipeline=str(pipeline), local_files_only=True, trust_remote_code=True,
            use_safetensors=True, dtype=kind,
        )  # fmt: skip
        pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
        pipe.set_progress_bar_config(disable=True)
        return pipe.to(device)
    except Exception as error:  # the user's own program runs in here
        raise InputError(f"`{folder}` cannot be loaded by `{pipeline}` ({_told(error)}).") from error


def _told(error: Exception) -> str:
    """What an exception says, as one line."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
