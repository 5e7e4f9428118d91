"""`scigen refine` as a library call: molecules in, refined geometries out, a chunk at a time and in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.deadline import Deadline, Outcome
from scigen.domains.molecules.codec import from_rdkit
from scigen.domains.molecules.refine.apply import Walk, refine, spread
from scigen.domains.molecules.refine.start import has_geometry
from scigen.domains.molecules.refine.stereo import flipped, labels
from scigen.errors import InputError, NumericError
from scigen.io.records import Record
from scigen.metrics.chem import pack, unpack
from scigen.metrics.superpose import rmsd, superpose
from scigen.run.weights import Weights

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["Refined", "Request", "refine_records", "trained_sizes"]

CHUNK = 256  # records in memory
MEAN = Walk(5, far=0.6)  # the nearest to the truth of all walks without noise, for a third more than the regression
SDE_STEPS = 5  # draws need a path to differ along
SECONDS = {"ode": 10.0, "sde": 10.0, "gfn2": 60.0}  # for the start of one molecule; GFN2-xTB's minimum comes with it


@dataclass(frozen=True)
class Request:
    """How to refine.

    `engine`: "ode" (one geometry, by the mean path of the bridge), "sde" (`n` draws from it) or "gfn2". `draws` walks
    with noise give the uncertainty. `steps` of either; None: five of draws, and of the
    ode one, five where that moves an atom far (`MEAN`). `relax` brings every input
    to its MMFF94 minimum first.
    """

    engine: str = "ode"
    n: int = 1
    steps: int | None = None
    draws: int = 4
    relax: bool = True
    seed: int = 0
    batch: int = 32
    device: str = "cpu"


@dataclass(frozen=True)
class Refined:
    """What became of one record: its geometries `pos [n, N, 3]` in Å, laid onto the input, or the `reason` for none.

    `mol` is the record's molecule (with hydrogens, when it came without a geometry), `displacement [n]` the RMSD in Å
    of each geometry to the input, or to the MMFF94 start where the input had none. `uncertainty [N]` is each atom's
    spread over the draws of the bridge in Å, None without draws. `start` says where it began. `held` marks a molecule
    whose refined geometry was not trusted: `mol` stays where it lay.
    """

    record: Record
    mol: Mol | None
    pos: np.ndarray
    displacement: np.ndarray
    uncertainty: np.ndarray | None = None
    start: str = ""
    reason: str | None = None
    held: bool = False


def refine_records(weights: Weights | None, request: Request, records: Iterable[Record]) -> Iterator[Refined]:
    """One `Refined` per record, in order, `CHUNK` of them at a time; each start under a deadline of its own.

    The graph and the order of atoms are the input's; a geometry that changed a CIP label is not handed on. `weights` is
    needed unless the engine is "gfn2". Raises `InputError` for weights that do not refine molecules, and `NumericError`
    when no geometry of a chunk is finite.
    """
    sizes = trained_sizes(weights) if weights is not None else None
    stream = iter(records)
    worker = "scigen.domains.molecules.refine.start"
    with Deadline(f"{worker}:prepare", SECONDS[request.engine], f"{worker}:warm") as prepare:
        while chunk := list(islice(stream, CHUNK)):
            outcomes = prepare.each([_item(r, request, sizes) for r in chunk if _usable(r)], batch=8)
            starts = [next(outcomes) if _usable(r) else Outcome(error=r.reason) for r in chunk]
            yield from _finish(chunk, starts, weights, request)


def trained_sizes(weights: Weights) -> tuple[int, int]:
    """The fewest and most atoms of the molecules that the network was trained on.

    Raises `InputError` for weights of another domain, and for a card without sizes.
    """
    if (domain := weights.card.get("domain")) != "refine":
        raise InputError(f"The weights '{weights.path}' are for {domain}, not for refinement; choose others.")
    try:
        sizes = [int(size) for size in weights.card["sizes"]]
        return min(sizes), max(sizes)
    except (KeyError, ValueError, TypeError):
        sentence = f"The card of '{weights.path}' has no `sizes` (molecules by atom count); export it again."
        raise InputError(sentence) from None


def _usable(record: Record) -> bool:
    return record.mol is not None and record.reason is None


def _item(record: Record, request: Request, sizes: tuple[int, int] | None) -> dict[str, Any]:
    assert record.mol is not None
    digest = hashlib.sha256(f"scigen embed {request.seed} {record.index}".encode()).digest()
    seed = int.from_bytes(digest[:3], "little")
    mol = pack(record.mol)
    return {"mol": mol, "relax": request.relax, "sizes": sizes, "seed": seed, "engine": request.engine}


def _finish(
    chunk: Sequence[Record], starts: Sequence[Outcome], weights: Weights | None, request: Request
) -> Iterator[Refined]:
    """Walk the bridge from every start of a chunk, and put what came out beside its record."""
    reasons = [start.error or start.value.get("reason") for start in starts]
    mols = {k: unpack(starts[k].value["mol"]) for k, reason in enumerate(reasons) if reason is None}
    keys = [chunk[k].index for k in mols]
    found = dict(zip(mols, _geometries(list(mols.values()), keys, weights, request), strict=True))
    if found and not any(np.isfinite(pos).all() for pos, _ in found.values()):
        raise NumericError(f"None of {len(found)} refined geometries is finite; the weights are broken.")
    for k, record in enumerate(chunk):
        yield _laid(record, mols[k], *found[k], request) if k in mols else _none(record, reasons[k])


def _geometries(
    mols: Sequence[Mol], keys: Sequence[int], weights: Weights | None, request: Request
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Per molecule, the geometries to hand on and, of the bridge, every draw that the uncertainty is read off."""
    if weights is None:
        return [(mol.GetConformer().GetPositions()[None], None) for mol in mols]
    starts = [from_rdkit(mol) for mol in mols]

    def walked(walk: Walk) -> list[np.ndarray]:
        return refine(weights.network, starts, keys, walk, request.seed, request.batch, request.device)

    def drawn(draws: int) -> list[np.ndarray]:
        return walked(Walk(request.steps or SDE_STEPS, noise=True, draws=draws))

    if request.engine == "sde":
        return [(x[: request.n], x) for x in drawn(max(request.n, request.draws))]
    noisy = drawn(request.draws) if request.draws else [None] * len(starts)
    mean = Walk(request.steps) if request.steps else MEAN
    return list(zip(walked(mean), noisy, strict=True))


def _laid(record: Record, mol: Mol, found: np.ndarray, draws: np.ndarray | None, request: Request) -> Refined:
    """The geometries laid onto the input, if none of them is broken or inverted."""
    given = record.mol is not None and has_geometry(record.mol)
    own = record.mol if given else mol
    assert own is not None
    before = own.GetConformer().GetPositions()
    if not np.isfinite(found).all():
        return replace(_none(record, "a coordinate came out non-finite"), mol=own, held=True)
    marks = labels(mol, before)
    if lost := [place for x in found for place in flipped(marks, labels(mol, x))]:
        return replace(_none(record, f"the handedness of {lost[0]} would change"), mol=own, held=True)
    pos = np.stack([superpose(x, before) for x in found])
    moved = np.array([rmsd(x, before) for x in pos])
    start = ("MMFF94" if request.relax else "given") if given else "ETKDG, MMFF94"
    return Refined(record, own, pos, moved, spread(draws) if draws is not None and len(draws) > 1 else None, start)


def _none(record: Record, reason: str | None) -> Refined:
    return Refined(record, record.mol, np.zeros((0, 0, 3)), np.zeros(0), reason=reason or "no molecule")
