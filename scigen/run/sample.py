"""`scigen sample molecules` as a library call: draw, check, score, write the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.domains.molecules.checks import TABLE_COLUMNS, check_molecules, score_molecules, table_row
from scigen.domains.molecules.codec import to_rdkit
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.sampler import Drawn, Plan, draw_molecules
from scigen.errors import InputError, NumericError, UsageError
from scigen.io.molecules import Record, write_sdf, write_smiles_csv
from scigen.metrics.score import Score
from scigen.run.refine import Refined, refine_records
from scigen.run.refine import Request as RefineRequest
from scigen.run.report import sha256, write_run, write_scores
from scigen.run.weights import Weights

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["Outcome", "Request", "sample_molecules", "write_outcome"]

Progress = Callable[[str, int, int], None]
MAX_ROUNDS = 50  # redraws before `only_valid` makes do with what there is
DRY_ROUNDS = 3  # and with nothing at all


@dataclass(frozen=True)
class Request:
    """What a user asks for: n samples (or exactly `indices`), the seed, and how."""

    n: int
    seed: int
    plan: Plan
    n_atoms: tuple[int, int] | None = None
    indices: Sequence[int] | None = None
    only_valid: bool = False
    batch: int = 48
    device: str = "cpu"
    bridge: Weights | None = None  # refines what is whole and valid


@dataclass(frozen=True)
class Outcome:
    """Molecules kept, in order of sample number, their checks and scores; failures; how many were drawn; seconds.

    With `only_valid` fewer than asked for are kept when the redraws run out. With a bridge, `refined` says what became
    of every whole valid molecule, and `as_drawn` holds the scores before.
    """

    indices: list[int]
    molecules: list[Molecule]
    mols: list[Mol]
    checks: list[dict[str, Any]]
    scores: list[Score]
    failed: list[Drawn]
    drawn: int
    timings: dict[str, float]
    refined: list[Refined] | None = None
    as_drawn: list[Score] | None = None

    def document(self) -> dict[str, Any]:
        """How many were drawn and their scores, as plain JSON types; with a bridge, those before and its failures."""
        rows = {"drawn": self.drawn, "scores": [s.to_dict() for s in self.scores]}
        if self.refined is None or self.as_drawn is None:
            return rows
        failed = [{"index": one.record.index, "reason": one.reason} for one in self.refined if one.reason is not None]
        refined = {"molecules": len(self.refined) - len(failed), "failed": failed}
        return {**rows, "as_drawn": [s.to_dict() for s in self.as_drawn], "refined": refined}


def sample_molecules(
    weights: Weights, request: Request, progress: Progress, failure: Callable[[Drawn], None] = lambda drawn: None
) -> Outcome:
    """Draw until the request is met and score what was drawn; `failure` hears of each sample that is not finite.

    With `only_valid`, scores are those of everything drawn, so that selection cannot flatter them.
    Raises `UsageError` for sizes the network never saw, `InputError` for a card without sizes, and `NumericError` when
    no sample is finite or, with `only_valid`, none is valid.
    """
    if (domain := weights.card.get("domain")) != "molecules":
        raise InputError(f"The weights '{weights.path}' are for {domain}, not for molecules; choose others.")
    sizes = _sizes(weights, request)
    began = time.perf_counter()
    drawn, checks = _until_met(weights, request, sizes, progress, failure)
    sampled = time.perf_counter()
    finite = _finite(drawn)
    if not finite:
        raise NumericError(f"None of {len(drawn)} samples is finite; the weights or the solver settings are broken.")
    mols, scores = _scored(finite, checks)
    refined, as_drawn = None, None
    if request.bridge is not None:
        refined, as_drawn = _refined(request.bridge, request, finite, checks, progress), scores
        moved = {one.record.index: Drawn(one.record.index, _moved(finite, one)) for one in refined if not one.reason}
        finite, checks = finite | _finite(moved), checks | _check(moved, progress)
        mols, scores = _scored(finite, checks)
    kept = [k for k in finite if _whole(checks[k])][: request.n] if request.only_valid else list(finite)
    return Outcome(
        kept, [finite[k] for k in kept], [mols[k] for k in kept], [checks[k] for k in kept], scores,
        [d for d in drawn.values() if d.molecule is None], len(drawn),
        {"sample": sampled - began, "score": time.perf_counter() - sampled}, refined, as_drawn,
    )  # fmt: skip


def write_outcome(outcome: Outcome, request: Request, weights: Weights, config: dict[str, Any], folder: Path) -> None:
    """Write SDF, CSV, PNG, `scores.json` and `run.json` into `folder`."""
    from scigen.domains.molecules.picture import write_grid

    titles = [f"scigen seed {request.seed} index {k}" for k in outcome.indices]
    pairs = list(zip(outcome.indices, outcome.checks, strict=True))
    kept = len(request.plan.keep) if request.plan.keep is not None else 0
    held = {"kept_atoms": kept} if kept else {}  # the first ones
    moved = {one.record.index: float(one.displacement[0]) for one in outcome.refined or () if not one.reason}
    far = {k: {"scigen_displacement": moved[k]} if k in moved else {} for k in outcome.indices}
    properties = [{"seed": request.seed, "index": k, **held, **far[k], **_facts(c)} for k, c in pairs]
    write_sdf(folder / "molecules.sdf", outcome.mols, properties, titles)
    rows = [{"index": k, **table_row(c)} for k, c in pairs]
    columns = ["smiles", "index", *(c for c in TABLE_COLUMNS if c != "smiles")]
    write_smiles_csv(folder / "molecules.csv", rows, columns)
    write_grid(folder / "molecules.png", outcome.molecules[:24], kept)
    write_scores(folder, outcome.document())
    by = request.bridge and {"file": request.bridge.path.name, "sha256": sha256(request.bridge.path)}
    write_run(folder, config, request.seed, weights.path, outcome.timings, refined_by=by)


def _whole(check: dict[str, Any]) -> bool:
    """What a chemist calls valid: RDKit accepts it, it is one molecule, and no atom is left with a radical."""
    return bool(check["valid"] and check["strict_stable"] and check["fragments"] == 1)


def _facts(check: dict[str, Any]) -> dict[str, Any]:
    keep = ("smiles", "valid", "strict_stable", "edm_stable", "fragments", "qed", "sa", "reason")
    return {k: check[k] for k in keep if check.get(k) is not None}


def _sizes(weights: Weights, request: Request) -> dict[int, int]:
    try:
        histogram = {int(k): int(v) for k, v in weights.card["sizes"].items() if int(k) > 0 and int(v) > 0}
    except (KeyError, ValueError, TypeError, AttributeError):
        histogram = {}
    if not histogram:
        raise InputError(f"The card of '{weights.path}' has no `sizes` (molecules by atom count); export it again.")
    low, high = request.n_atoms or (min(histogram), max(histogram))
    if (keep := request.plan.keep) is not None:
        low = max(low, len(keep) + 1 if request.n_atoms else min(keep.fewest, high))
        if low > high or len(keep) >= high:
            raise UsageError(f"The fragment keeps {len(keep)} atoms, which leaves none to grow among at most {high}.")
    chosen = {k: v for k, v in histogram.items() if low <= k <= high}
    if not chosen:
        raise UsageError(
            f"--n-atoms {low}-{high}: the model has seen {min(histogram)} to {max(histogram)} atoms; ask within that."
        )
    return chosen


def _until_met(
    weights: Weights, request: Request, sizes: dict[int, int], progress: Progress, failure: Callable[[Drawn], None]
) -> tuple[dict[int, Drawn], dict[int, dict[str, Any]]]:
    """Everything drawn and the checks of what is finite; `only_valid` draws round after round what is missing."""
    drawn: dict[int, Drawn] = {}
    checks: dict[int, dict[str, Any]] = {}
    wanted = list(dict.fromkeys(request.indices or range(request.n)))
    for turn in range(1, MAX_ROUNDS + 1):
        more = {d.index: d for d in _draw(weights, request, sizes, wanted, progress, failure)}
        drawn |= more
        checks |= _check(more, progress)
        valid = sum(map(_whole, checks.values()))
        if not request.only_valid or valid >= request.n or not checks:
            break
        if not valid and turn == DRY_ROUNDS:
            way = (
                "try more --steps or other --n-atoms"
                if request.plan.keep is not None
                else "train further, or draw without the filter"
            )
            raise NumericError(f"None of {len(drawn)} samples is valid; {way}.")
        wanted = list(range(max(drawn) + 1, max(drawn) + 1 + request.n - valid))
    return drawn, checks


def _draw(
    weights: Weights,
    request: Request,
    sizes: dict[int, int],
    indices: list[int],
    progress: Progress,
    failure: Callable[[Drawn], None],
) -> list[Drawn]:
    out: list[Drawn] = []
    for group in draw_molecules(
        weights.network, request.plan, indices, request.seed, sizes, request.batch, request.device
    ):
        out += group
        for d in group:
            if d.molecule is None:
                failure(d)
        progress("sampling", len(out), len(indices))
    return out


def _check(drawn: dict[int, Drawn], progress: Progress) -> dict[int, dict[str, Any]]:
    finite = _finite(drawn)
    rows = check_molecules([to_rdkit(m) for m in finite.values()], progress=progress)
    return dict(zip(finite, rows, strict=True))


def _scored(finite: dict[int, Molecule], checks: dict[int, dict[str, Any]]) -> tuple[dict[int, Mol], list[Score]]:
    mols = {k: to_rdkit(m) for k, m in finite.items()}
    return mols, score_molecules(list(mols.values()), [checks[k] for k in mols])


def _refined(
    bridge: Weights,
    request: Request,
    finite: dict[int, Molecule],
    checks: dict[int, dict[str, Any]],
    progress: Progress,
) -> list[Refined]:
    """What became of every whole valid molecule at its own MMFF94 minimum, carried on by the bridge."""
    whole = [Record("sample", k, to_rdkit(m), None) for k, m in finite.items() if _whole(checks[k])]
    how = RefineRequest(draws=0, seed=request.seed, batch=request.batch, device=request.device)
    out = []
    for one in refine_records(bridge, how, whole):
        out.append(one)
        progress("refining", len(out), len(whole))
    return out


def _moved(finite: dict[int, Molecule], one: Refined) -> Molecule:
    return replace(finite[one.record.index], pos=one.pos[0].astype(np.float32))


def _finite(drawn: dict[int, Drawn]) -> dict[int, Molecule]:
    """The molecules that came out, by sample number, ascending."""
    return {k: d.molecule for k, d in sorted(drawn.items()) if d.molecule is not None}
