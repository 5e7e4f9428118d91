"""`scigen reconstruct` and `scigen views`: a picture to the other sides of its object, and to a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from scigen.cli.choice import PROCESSES, checked
from scigen.cli.device import chosen_device
from scigen.cli.drawing import Device
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.domains.image3d.rig import CameraRig
    from scigen.run.picture import Wanted
    from scigen.run.reconstruct import Outcome

__all__ = ["RIGS", "Rig", "cameras", "reconstruct", "views"]

PRIORS = ("scigen", "regression", "latent", "retrieval", "mean", "oracle", "folder", "zero123plus")
RIGS = ("cube", "zero123plus-1.1", "zero123plus-1.2", "wonder3d")
MAKERS = ("auto", "carve", "fit")

File = Annotated[Path, typer.Argument(help="PNG, JPEG, WebP, BMP, GIF or TIFF of one object.")]
Prior = Annotated[
    str | None,
    typer.Option(help=f"Where the other sides come from: {', '.join(PRIORS)}; unless told the best that is shipped."),
]
Set = Annotated[
    str,
    typer.Option("--set", help="Rendered views for retrieval, mean, and the neighbours of scigen: a name or a file."),
]
Truth = Annotated[Path | None, typer.Option(help="Mesh that --prior oracle looks at.")]
Folder = Annotated[Path | None, typer.Option(help="Folder that --prior folder reads.")]
Rig = Annotated[str, typer.Option(help=f"Cameras of oracle, folder and zero123plus: {', '.join(RIGS)}.")]
Category = Annotated[str | None, typer.Option(help="Of --prior mean: the class whose mean it is.")]
Pipeline = Annotated[Path | None, typer.Option(help="Of --prior zero123plus: its pipeline.py, which is run.")]
MaskFile = Annotated[Path | None, typer.Option("--mask", help="Picture of the object's outline, white on black.")]
Samples = Annotated[int, typer.Option(min=1, max=64, help="Draws of the prior.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Of --prior scigen, regression, latent: a name or a .safetensors file, or what is shipped; of zero123plus:"
        " a folder."
    ),
]
Process = Annotated[
    str, typer.Option(help=f"Of --prior scigen and latent: {', '.join(PROCESSES)}. All from the same weights.")
]
Steps = Annotated[int, typer.Option(min=2, help="Solver intervals of --prior scigen, latent and zero123plus.")]
Guidance = Annotated[
    float | None,
    typer.Option(min=0, help="Weight of the picture, above 1 at twice the cost; 1, and 4 of zero123plus, unless told."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draws.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No summary.")]


def reconstruct(
    file: File,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/reconstruct"),
    prior: Prior = None,
    views_of: Set = "procedural-memory",
    mesh: Truth = None,
    folder: Folder = None,
    category: Category = None,
    pipeline: Pipeline = None,
    rig: Rig = "cube",
    mask: MaskFile = None,
    samples: Samples = 1,
    weights: Weights = None,
    process: Process = "flow",
    steps: Steps = 30,
    guidance: Guidance = None,
    device: Device = "auto",
    recon: Annotated[
        str, typer.Option(help="carve: from depth; fit: from masks and normals; auto: as the views allow.")
    ] = "auto",
    grid: Annotated[int, typer.Option(min=32, max=192, help="Nodes along a side when carving, even.")] = 96,
    votes: Annotated[int, typer.Option(min=1, max=6, help="Views that must agree before they carve.")] = 1,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a closed mesh of the object in a picture: a prior imagines its other sides, a reconstructor fuses them.

    The object is cut out by the picture's transparency, by --mask, or by the colour of its border. Every draw becomes a
    GLB in the unit frame (y up, sphere of diameter 1); best first, by how well some view of it covers the picture.

    Exit code 4: written, but some draws left no mesh; errors.jsonl lists them.
    """
    checked("--recon", recon, MAKERS)
    if grid % 2:
        raise UsageError(f"--grid {grid}: give an even number.")
    sources = _Sources(views_of, mesh, folder, category, weights, pipeline)
    wanted = _wanted(prior, sources, rig, process, steps, guidance, device)

    from scigen.domains.image3d.carve import Carving
    from scigen.domains.image3d.reconstruct import Reconstruct
    from scigen.run.picture import prior_of, subject_in
    from scigen.run.reconstruct import reconstruct_picture, write_outcome
    from scigen.run.report import append_error, locked_folder

    maker = prior_of(wanted)
    subject = subject_in(file, mask, maker.pixels)
    if prior is None and not quiet:
        _say_which()
    how = Reconstruct(Carving(grid, min(votes, len(maker.rig))), always_fit=recon == "fit")
    config = {**_told(wanted), "samples": samples, "recon": recon, "grid": grid, "votes": votes}
    with locked_folder(out) as place:
        outcome = reconstruct_picture(subject, maker, how, samples, seed)
        for index, reason in outcome.failed.items():
            append_error(place, index, reason)
        write_outcome(outcome, subject, config, seed, file, place)
    _show(outcome, out, as_json, quiet)
    if outcome.failed:
        raise typer.Exit(4)


def views(
    file: File,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/views"),
    prior: Prior = None,
    views_of: Set = "procedural-memory",
    mesh: Truth = None,
    folder: Folder = None,
    category: Category = None,
    pipeline: Pipeline = None,
    rig: Rig = "cube",
    mask: MaskFile = None,
    samples: Samples = 1,
    weights: Weights = None,
    process: Process = "flow",
    steps: Steps = 30,
    guidance: Guidance = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Imagine the other sides of the object in a picture, and stop there: archives of arrays and a sheet."""
    sources = _Sources(views_of, mesh, folder, category, weights, pipeline)
    wanted = _wanted(prior, sources, rig, process, steps, guidance, device)

    from scigen.run.picture import prior_of, subject_in
    from scigen.run.reconstruct import imagine, write_views_only
    from scigen.run.report import locked_folder

    maker = prior_of(wanted)
    subject = subject_in(file, mask, maker.pixels)
    if prior is None and not quiet:
        _say_which()
    config = {**_told(wanted), "samples": samples}
    with locked_folder(out) as place:
        drawn, timings = imagine(maker, subject, samples, seed)
        write_views_only(drawn, subject, config, seed, file, timings, place)
    if not quiet:
        typer.echo(f"{len(drawn)} sets of {len(maker.rig)} views in {timings['views']:.1f} s, written to {out}")


class _Sources(NamedTuple):
    """What a prior may be made from, as told."""

    views: str
    mesh: Path | None
    folder: Path | None
    category: str | None
    weights: str | None
    pipeline: Path | None


def _say_which() -> None:
    """One line on stderr: the prior that was taken since none was named."""
    from scigen.run.picture import best_prior

    name, meaning = best_prior()
    typer.echo(f"--prior {name}: {meaning}.", err=True)


def _wanted(
    prior: str | None, told: _Sources, rig: str, process: str, steps: int, guidance: float | None, device: str
) -> Wanted:
    """What a prior is made from, once the options go together."""
    from scigen.run.picture import Wanted, best_prior, shipped_weights

    if prior is None and told.weights is not None:
        raise UsageError(f"--weights {told.weights}: say with --prior what they are weights of.")
    name = best_prior()[0] if prior is None else prior
    checked("--prior", name, PRIORS)
    weights = told.weights or shipped_weights(name)
    checked("--rig", rig, RIGS)
    checked("--process", process, PROCESSES)
    for option, given, names in (
        ("--mesh", told.mesh, ("oracle",)),
        ("--folder", told.folder, ("folder",)),
        ("--weights", weights, ("scigen", "regression", "latent", "zero123plus")),
        ("--pipeline", told.pipeline, ("zero123plus",)),
    ):
        if (name in names) != (given is not None):
            raise UsageError(f"--prior {name}: {option} goes with --prior {' and '.join(names)}, and they with it.")
    if told.category is not None and name != "mean":
        raise UsageError(f"--category {told.category}: --prior {name} asks no class; --prior mean does.")
    if guidance not in (None, 1) and name == "latent":
        raise UsageError(f"--guidance {guidance:g}: --prior latent takes the picture as it is; leave it out.")
    sheets = name == "zero123plus"
    rig = "zero123plus-1.2" if sheets and rig == "cube" else rig
    if rig != "cube" and name not in ("oracle", "folder") and not (sheets and rig.startswith("zero123plus")):
        raise UsageError(f"--rig {rig}: --prior {name} knows the views of {'its own' if sheets else 'a cube'} alone.")
    place = chosen_device(device)
    weight = guidance if guidance is not None else 4.0 if sheets else 1.0
    return Wanted(
        name, told.views, told.mesh or told.folder, cameras(rig), weights, process, steps, weight, place,
        told.category, told.pipeline,
    )  # fmt: skip


def cameras(name: str) -> CameraRig:
    """The rig that one of RIGS names."""
    from scigen.domains.image3d import rig

    known = (rig.CUBE, rig.ZERO123PLUS_11, rig.ZERO123PLUS_12, rig.WONDER3D)
    return known[RIGS.index(name)]


def _told(wanted: Wanted) -> dict[str, object]:
    """The options of a prior for `run.json`."""
    facts = dict(vars(wanted)) | {"rig": vars(wanted.rig)}
    return {"prior": facts.pop("name"), **facts}


def _show(outcome: Outcome, out: Path, as_json: bool, quiet: bool) -> None:
    from scigen.run.reconstruct import ranking

    rows = ranking(outcome)
    if as_json:
        import json

        failed = [{"draw": index, "reason": reason} for index, reason in outcome.failed.items()]
        document = {"out": str(out), "ranking": rows, "failed": failed, "timings": outcome.timings}
        typer.echo(json.dumps(document, indent=2))
    elif not quiet:
        best, seconds = rows[0], sum(outcome.timings.values())
        typer.echo(
            f"{len(rows)} closed meshes in {seconds:.1f} s; the best covers {best['reprojection_iou']:.0%} of the"
            f" picture's outline. Written to {out}: {best['file']}, views.png, meshes.html"
        )
