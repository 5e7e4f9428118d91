"""`scigen train CONFIG` and `scigen check CONFIG`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scigen.run.session import Finished

__all__ = ["check", "train"]

ConfigName = Annotated[str, typer.Argument(help="Preset (molecules/qm9) or YAML file.")]
Override = Annotated[list[str] | None, typer.Option("-s", "--set", help="Change a key, e.g. -s train.lr=3e-4.")]


def train(
    config: ConfigName,
    override: Override = None,
    minutes: Annotated[
        float | None, typer.Option(help="Budget in minutes; the learning rate falls to zero at its end.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of checkpoints, weights, log and curve.")] = Path("runs/train"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out exactly.")] = False,
    start: Annotated[
        str | None, typer.Option("--from", help="Start from weights: a name or a .safetensors file.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Packed set, or a folder of shapes, instead of the preset's.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Train a network. Start it under torchrun to use several workers or GPUs.

    Ctrl-C or SIGTERM finishes the step, saves and leaves; the same line with --resume goes on from there. Weights to
    sample from are in --out at every checkpoint.
    """
    from scigen.cli.live import training_bar
    from scigen.run.begin import Plan
    from scigen.run.config import load_config
    from scigen.run.session import run_training

    if minutes is not None:
        override = [*(override or []), f"train.minutes={minutes}"]
    plan = Plan(load_config(config, override), out, resume, start, data, device)
    with training_bar(quiet) as report:
        finished = run_training(plan, report, lambda sentence: typer.echo(f"scigen: {sentence}", err=True))
    if finished.lead and not quiet:
        typer.echo(_summary(finished, plan.config.domain))
    if finished.signal:
        raise typer.Exit(128 + finished.signal)


def check(config: ConfigName, override: Override = None) -> None:
    """Read a preset or YAML file, report every mistake in it, and print it in full."""
    import yaml

    from scigen.run.config import load_config

    typer.echo(yaml.safe_dump(load_config(config, override).model_dump(mode="json"), sort_keys=False), nl=False)


_USES = {
    "molecules": "scigen sample molecules --weights {}",
    "refine": "scigen refine FILE --weights {}",
    "points-codec": "scigen train points/prior -s codec={}",
    "points-prior": "scigen sample points --weights {}",
    "points-bridge": "scigen complete FILE --weights {}",
    "points-raw": "scigen sample points --weights {}",
    "meshes-implicit": "scigen sample meshes --decoder {}",
    "meshes-detail": "scigen sample meshes --from-coarse FILE --weights {}",
    "image-views": "scigen reconstruct FILE --prior scigen --weights {}",
    "image-latents": "scigen reconstruct FILE --prior latent --weights {}",
}


def _summary(finished: Finished, domain: str) -> str:
    ended = "stopped by a signal, continue with --resume" if finished.signal else "budget spent"
    spent = f"{finished.steps:,} steps, {finished.samples:,} samples in {finished.seconds / 60:.1f} min ({ended})"
    return f"{spent}; use them: {_USES[domain].format(finished.weights)}"
