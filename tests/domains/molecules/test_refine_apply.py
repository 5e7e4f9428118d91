"""Walking the bridge: what moves with the molecule, what depends on nothing else, and what never changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from scigen.domains.molecules.codec import SCALE, encode, to_rdkit
from scigen.domains.molecules.data import Molecule, load_fixture
from scigen.domains.molecules.refine.apply import Walk, refine, spread
from scigen.domains.molecules.refine.bridge import SPREAD, refine_denoiser
from scigen.domains.molecules.refine.pairs import relaxed
from scigen.domains.molecules.refine.start import start_of
from scigen.domains.molecules.refine.stereo import flipped, labels
from scigen.io.records import Record
from scigen.io.smiles import parse_smiles
from scigen.metrics.chem import sanitized
from scigen.metrics.superpose import rmsd, superpose
from scigen.run.refine import Request, refine_records
from scigen.run.weights import Weights
from scigen.solver import bridge
from scigen.state import State
from tests.domains.molecules.small import Near, untrained

NET = untrained()
SOME = [load_fixture()[k] for k in (3, 30, 60, 90, 120, 150)]
KEYS = [7, 1, 5, 3, 2, 11]
ODE, SDE = Walk(5), Walk(5, noise=True, draws=2)
CHIRAL = ["C[C@H](O)F", "C[C@@H](O)F", "N[C@@H](C)C(=O)O", "F/C=C/C", "F/C=C\\C", "O[C@H]1CC[C@@H]1C", "C[C@H]1CN1"]


def walked(molecules: list[Molecule], walk: Walk, **how: object) -> list[np.ndarray]:
    return refine(NET, molecules, KEYS, walk, **how)


def turn(seed: int, reflected: bool) -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    q = q * np.linalg.det(q)
    return -q if reflected else q


@pytest.mark.parametrize("reflected", [False, True])
@pytest.mark.parametrize("walk", [ODE, SDE], ids=["ode", "sde"])
def test_a_walk_turns_mirrors_and_shifts_with_its_start(
    walk: Walk, reflected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same noise, turned: refine(R x + b; R z) = R refine(x; z) + b."""
    q, b = turn(0, reflected), np.array([4.0, -2.0, 9.0])
    straight = walked(SOME, walk)
    normal = bridge.normal
    monkeypatch.setattr(bridge, "normal", lambda like, rng: normal(like, rng) @ torch.tensor(q, dtype=like.dtype))
    moved = walked([replace(m, pos=(m.pos @ q + b).astype(np.float32)) for m in SOME], walk)
    for m, x, y in zip(SOME, straight, moved, strict=True):
        assert np.abs(x @ q + b - y).max() < 1e-4
        assert np.abs(x - m.pos).max() > 0.01, "the walk must move something"


def test_the_order_of_atoms_is_the_users() -> None:
    m = SOME[2]
    order = np.random.default_rng(1).permutation(len(m.z))
    at = np.argsort(order)
    bond = np.stack([at[m.bond[:, 0]], at[m.bond[:, 1]], m.bond[:, 2]], 1).astype(np.uint8)
    other = Molecule(m.z[order], m.charge[order], m.pos[order], bond)
    one, two = refine(NET, [m, other], [0, 1], ODE)
    assert np.abs(one[0][order] - two[0]).max() < 1e-4


@pytest.mark.parametrize("walk", [ODE, SDE], ids=["ode", "sde"])
def test_neither_the_batch_nor_the_company_shows(walk: Walk) -> None:
    together = walked(SOME, walk)
    for batch in (1, 5):
        for x, y in zip(together, walked(SOME, walk, batch=batch), strict=True):
            assert x.shape == (walk.draws, *y.shape[1:]) and np.abs(x - y).max() < 1e-4
    alone = refine(NET, [SOME[4]], [KEYS[4]], walk)[0]
    assert np.abs(alone - together[4]).max() < 1e-4


def test_draws_depend_on_seed_key_and_number_alone() -> None:
    two, four = walked(SOME, SDE), walked(SOME, replace(SDE, draws=4))
    assert all(np.abs(x - y[:2]).max() < 1e-4 for x, y in zip(two, four, strict=True))
    assert all(np.array_equal(x, y) for x, y in zip(two, walked(SOME, SDE), strict=True))
    gaps = [np.abs(x - y).max() for x, y in zip(two, walked(SOME, SDE, seed=1), strict=True)]
    gaps += [np.abs(x[0] - x[1]).max() for x in two]
    gaps.append(np.abs(refine(NET, SOME[:1], [99], SDE)[0] - two[0]).max())
    assert min(gaps) > 0.01


def test_without_noise_there_is_no_chance() -> None:
    assert all(np.array_equal(x, y) for x, y in zip(walked(SOME, ODE), walked(SOME, ODE, seed=5), strict=True))


def test_one_step_is_the_regression_with_noise_or_without() -> None:
    x = encode(SOME)
    expected = refine_denoiser(NET)(x.replace(start=x["pos"]), 1.0)["pos"].detach().numpy() * SCALE
    for walk in (Walk(1), Walk(1, noise=True)):
        for k, (m, found) in enumerate(zip(SOME, walked(SOME, walk), strict=True)):
            assert np.abs(found[0] - m.pos.mean(0) - expected[k, : len(m.z)]).max() < 1e-4
    assert all(np.abs(x - y).max() > 1e-3 for x, y in zip(walked(SOME, Walk(1)), walked(SOME, Walk(5)), strict=True))


def test_only_what_the_regression_moves_far_is_walked() -> None:
    once, full = walked(SOME, Walk(1)), walked(SOME, Walk(5))
    moved = [np.linalg.norm(x[0] - m.pos, axis=1).max() for x, m in zip(once, SOME, strict=True)]
    far = float(np.median(moved))
    assert min(moved) < far < max(moved), "some are near and some are far"
    for x, near, long, by in zip(walked(SOME, Walk(5, far=far)), once, full, moved, strict=True):
        assert np.abs(x - (long if by > far else near)).max() < 1e-4
    assert all(np.array_equal(x, y) for x, y in zip(walked(SOME, Walk(5, far=1e3)), once, strict=True))
    for bad in ({"far": -0.1}, {"far": 0.5, "noise": True}):
        with pytest.raises(ValueError, match="`far` must be at least 0"):
            Walk(5, **bad)


def test_spread_is_the_deviation_over_draws_and_no_rigid_motion_counts() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 3)) * 3
    breath = np.stack([1.01 * x, 0.99 * x])
    assert spread(breath) == pytest.approx(0.01 * np.sqrt(2) * np.linalg.norm(x - x.mean(0), axis=1), rel=1e-9)
    assert spread(np.stack([x, x @ turn(2, False) + 5, x - 1])) == pytest.approx(np.zeros(6), abs=1e-12)
    many = x + 0.01 * rng.normal(size=(2000, 6, 3))  # 3 axes of 6 atoms, of which 6 degrees are rigid
    assert np.sqrt(np.square(spread(many)).mean()) == pytest.approx(0.01 * np.sqrt(3 * (18 - 6) / 18), rel=0.02)
    with pytest.raises(ValueError, match="at least 2"):
        spread(breath[:1])


@dataclass
class Gaussian(torch.nn.Module):
    """The network that knows: x0 lies around the start with this standard deviation (Å) on every axis."""

    deviation: float

    def __post_init__(self) -> None:
        super().__init__()

    def forward(self, x: State, logsnr: torch.Tensor, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        t, v = torch.sigmoid(-logsnr)[:, None, None], (self.deviation / (SPREAD * SCALE)) ** 2
        return {"pos": x["pos"] * v * (1 - t).sqrt() / (v * (1 - t) + t)}


@pytest.mark.parametrize(("steps", "share"), [(5, 1.28), (20, 1.02)])
def test_the_spread_of_a_gaussian_is_the_share_that_is_documented(steps: int, share: float) -> None:
    """Of 0.05 Å, by carrying the variance of the displacement d: d_s = (k (1 - s / t) + s / t) d_t + noise."""
    v, deviation, variance = (0.05 / (SPREAD * SCALE)) ** 2, 0.05, 0.0
    grid = [0.01 ** (i / (steps - 1)) for i in range(steps)] + [0.0]
    for t, s in zip(grid, grid[1:], strict=False):
        gain = v / (v * (1 - t) + t) if t < 1 else 0.0
        believed = gain**2 * variance / v
        variance = (gain * (1 - s / t) + s / t) ** 2 * variance + t - s
    assert believed**0.5 == pytest.approx(share, abs=0.005)
    m = SOME[3]
    draws = refine(Gaussian(deviation), [m], [0], Walk(steps, noise=True, draws=300))[0]
    free = (3 * len(m.z) - 6) / len(m.z)  # degrees of freedom an atom, less the rigid motions
    assert np.sqrt(np.square(spread(draws)).mean()) == pytest.approx(share * deviation * np.sqrt(free), rel=0.03)


def chiral() -> list[tuple[Chem.Mol, Molecule]]:
    data = load_fixture()
    found = []
    for k in range(0, len(data), 3):
        mol = sanitized(to_rdkit(data[k]))[0]
        if mol is not None and labels(mol, data[k].pos):
            found.append((mol, data[k]))
    return found


def test_handedness_survives_and_a_mirror_image_keeps_its_own() -> None:
    mols, molecules = zip(*chiral(), strict=True)
    mirrored = [replace(m, pos=m.pos * np.float32([1, 1, -1])) for m in molecules]
    keys = list(range(len(molecules)))
    left = [labels(mol, m.pos) for mol, m in zip(mols, molecules, strict=True)]
    right = [labels(mol, m.pos) for mol, m in zip(mols, mirrored, strict=True)]
    assert sum(map(len, left)) > 100 and sum(map(len, map(flipped, left, right))) > 100
    for starts, marks in ((molecules, left), (mirrored, right)):
        found = refine(NET, starts, keys, ODE)
        assert [labels(mol, x[0]) for mol, x in zip(mols, found, strict=True)] == marks


@pytest.mark.usefixtures("near")
def test_no_draw_that_is_handed_on_has_changed_hands() -> None:
    """An untrained network leaves a tenth of an Å of noise, enough to invert a strained cage; the guard sees it."""
    mols, molecules = zip(*chiral(), strict=True)
    found = refine_records(weights(NET), Request("sde", draws=0, relax=False), records(*map(to_rdkit, molecules)))
    passed = [(mol, m, one) for mol, m, one in zip(mols, molecules, found, strict=True) if one.reason is None]
    assert len(passed) > 0.9 * len(mols)
    assert all(labels(mol, one.pos[0]) == labels(mol, m.pos) for mol, m, one in passed)


@pytest.mark.parametrize("smiles", CHIRAL)
def test_labels_see_an_inversion(smiles: str) -> None:
    mol = start_of(parse_smiles(smiles))
    pos = mol.GetConformer().GetPositions()
    marks = labels(mol, pos)
    reference = Chem.MolFromSmiles(smiles)
    codes = [a.GetProp("_CIPCode") for a in reference.GetAtoms() if a.HasProp("_CIPCode")]
    assert sorted(v for v in marks.values() if v in "RS") == sorted(codes)
    lost = flipped(marks, labels(mol, pos * [1, 1, -1]))
    assert sorted(lost) == sorted(place for place in marks if place.startswith("atom"))
    flat = flipped(marks, labels(mol, pos * [1, 1, 0]))
    assert flat or not codes, "a flat centre has no hand"


@dataclass
class Folder(torch.nn.Module):
    """A network that turns every molecule inside out."""

    def __post_init__(self) -> None:
        super().__init__()

    def forward(self, x: State, logsnr: torch.Tensor, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"pos": -2 * given["pos"] / SPREAD}


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigen.run.refine.Deadline", Near)


def records(*mols: Chem.Mol) -> Iterator[Record]:
    return (Record("test", k, mol, None, f"number {k}") for k, mol in enumerate(mols))


def weights(net: torch.nn.Module) -> Weights:
    return Weights(net, {"domain": "refine", "sizes": {"3": 1, "29": 1}}, Path("test"))


@pytest.mark.usefixtures("near")
def test_an_inverted_centre_is_not_handed_on() -> None:
    handed, flat = start_of(parse_smiles("C[C@H](O)F")), start_of(parse_smiles("O"))
    one, two = refine_records(weights(Folder()), Request(), records(handed, flat))
    assert one.reason == "the handedness of atom 2 would change" and one.pos.size == 0
    assert one.held and one.mol is handed, "it stays where it lay"
    assert two.reason is None and two.pos.shape == (1, 3, 3)


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("engine", ["ode", "sde"])
def test_atoms_bonds_and_charges_are_those_of_the_input(engine: str) -> None:
    mols = [to_rdkit(m) for m in SOME]
    request = Request(engine, n=1 + (engine == "sde"), relax=False)
    for m, mol, one in zip(SOME, mols, refine_records(weights(NET), request, records(*mols)), strict=True):
        assert one.mol is mol and one.start == "given" and one.pos.shape == (request.n, len(m.z), 3)
        assert [rmsd(x, m.pos) for x in one.pos] == pytest.approx(one.displacement)
        assert [rmsd(superpose(x, m.pos), m.pos) for x in one.pos] == pytest.approx(one.displacement), "laid on"
        assert one.uncertainty.shape == m.z.shape and (one.uncertainty > 0).all()


@pytest.mark.usefixtures("near")
def test_the_default_starts_at_the_force_fields_minimum() -> None:
    mol = to_rdkit(SOME[1])
    (found,) = refine_records(weights(NET), Request(draws=0), records(mol))
    start, _ = relaxed(SOME[1])
    expected = refine(NET, [replace(SOME[1], pos=start.astype(np.float32))], [0], Walk(5, far=0.6))[0][0]
    assert rmsd(found.pos[0], superpose(expected, SOME[1].pos)) < 1e-4
    assert found.start == "MMFF94" and found.uncertainty is None
