"""Molecules to states, to RDKit, and back, on every molecule of the fixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem

from scigen.domains.molecules.codec import BOND_ORDERS, SCALE, TOKENS, decode, encode, from_rdkit, project, to_rdkit
from scigen.domains.molecules.data import Molecule, load_fixture
from scigen.errors import InputError
from scigen.state import State

DATA = load_fixture()
ALL = [DATA[k] for k in range(len(DATA))]


def belief_of(x: State) -> dict[str, torch.Tensor]:
    """Certainty about x."""
    one_hot = torch.nn.functional.one_hot
    return {"pos": x["pos"], "atom": one_hot(x["atom"], len(TOKENS)), "bond": one_hot(x["bond"], BOND_ORDERS)}


def test_decoding_undoes_encoding():
    x = encode(ALL)
    for before, after in zip(ALL, decode(belief_of(x), x.mask), strict=True):
        for name in ("z", "charge", "bond"):
            got, wanted = getattr(after, name), getattr(before, name)
            assert np.array_equal(got, wanted) and got.dtype == wanted.dtype
        assert np.abs(after.pos - (before.pos - before.pos.mean(0))).max() < 2e-6


def test_a_state_is_lawful():
    x = encode(ALL, pad_to=31)
    assert x["pos"].shape == (len(ALL), 31, 3) and x["pos"].dtype == torch.float32
    assert x.sizes.tolist() == DATA.sizes().tolist()
    assert not x["pos"][~x.mask].any() and not x["atom"][~x.mask].any()
    assert not x["bond"][~(x.mask[:, :, None] & x.mask[:, None, :])].any()
    assert torch.equal(x["bond"], x["bond"].transpose(1, 2)) and not x["bond"].diagonal(dim1=1, dim2=2).any()
    assert x["pos"].sum(1).abs().max() < 1e-5
    assert set(x["atom"].unique().tolist()) == set(range(len(TOKENS))), "the fixture shows every token"
    assert int(x["bond"].sum()) == 2 * int(DATA.bond[:, 2].sum())


def test_coordinates_have_unit_variance():
    x = encode(ALL)
    assert x["pos"][x.mask].std() == pytest.approx(1, abs=0.1)
    distance = np.linalg.norm(ALL[0].pos[0] - ALL[0].pos[1])
    assert float((x["pos"][0, 0] - x["pos"][0, 1]).norm()) * SCALE == pytest.approx(distance, rel=1e-6)


def test_projection_is_idempotent_and_leaves_molecules_alone():
    x = encode(ALL[:20])
    y = project(x)
    assert torch.equal(y["atom"], x["atom"]) and torch.equal(y["bond"], x["bond"])
    assert (y["pos"] - x["pos"]).abs().max() < 1e-6
    rough = x.replace(pos=x["pos"] + 3, bond=torch.full_like(x["bond"], 2), atom=x["atom"] + 1)
    once = project(rough)
    twice = project(once)
    assert all(torch.allclose(once[name].double(), twice[name].double(), atol=1e-6) for name in once.fields)
    assert not once["atom"][~x.mask].any() and not once["bond"].diagonal(dim1=1, dim2=2).any()


def test_rdkit_and_back_is_exact():
    for m in ALL:
        back = from_rdkit(to_rdkit(m))
        for name in ("z", "charge", "pos", "bond"):
            got, wanted = getattr(back, name), getattr(m, name)
            assert np.array_equal(got, wanted) and got.dtype == wanted.dtype


def flat(mol: Chem.Mol) -> str:
    """Canonical SMILES without hydrogens or stereo: QM9's strings have no stereo marks of their own."""
    mol = Chem.RemoveHs(mol)
    Chem.RemoveStereochemistry(mol)
    return Chem.MolToSmiles(mol)


def test_the_published_smiles_survives():
    for k, m in enumerate(ALL):
        published = Chem.MolFromSmiles(DATA.smiles[k].decode())
        mol = to_rdkit(m)
        Chem.SanitizeMol(mol)
        assert flat(mol) == flat(published)


def test_the_state_in_between_keeps_the_smiles_too():
    x = encode(ALL)
    for k, m in enumerate(decode(belief_of(x), x.mask)):
        mol = to_rdkit(m)
        Chem.SanitizeMol(mol)
        assert flat(mol) == flat(Chem.MolFromSmiles(DATA.smiles[k].decode()))


def test_no_hydrogen_is_implied():
    for m in ALL[:50]:
        mol = to_rdkit(m)
        Chem.SanitizeMol(mol)
        assert mol.GetNumAtoms() == len(m.z) and not any(a.GetTotalNumHs() for a in mol.GetAtoms())


def test_aromatic_input_is_kekulised():
    mol = Chem.AddHs(Chem.MolFromSmiles("c1ccncc1"))
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    m = from_rdkit(mol)
    assert sorted(m.bond[:, 2].tolist()) == [1] * 8 + [2] * 3
    assert mol.GetAtomWithIdx(0).GetIsAromatic(), "the caller's molecule is not touched"


def conformer(smiles: str, hydrogens: bool = True) -> Chem.Mol:
    mol = Chem.MolFromSmiles(smiles)
    mol = Chem.AddHs(mol) if hydrogens else mol
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    return mol


@pytest.mark.parametrize(
    ("mol", "words"),
    [
        (Chem.AddHs(Chem.MolFromSmiles("CC")), "no 3D coordinates"),
        (conformer("CC", hydrogens=False), "implicit hydrogens"),
        (conformer("[NH3]->[Fe]"), "Bond type DATIVE"),
    ],
    ids=["flat", "implicit", "dative"],
)
def test_what_rdkit_cannot_give_is_refused(mol, words):
    with pytest.raises(InputError, match=words):
        from_rdkit(mol)


@pytest.mark.parametrize(("z", "charge"), [(14, 0), (6, 1), (1, -1), (0, 0)])
def test_unknown_elements_and_charges_are_named(z, charge):
    m = Molecule(
        np.array([z, 1], np.uint8), np.array([charge, 0], np.int8), np.eye(2, 3, dtype=np.float32),
        np.array([[0, 1, 1]], np.uint8),
    )  # fmt: skip
    with pytest.raises(InputError, match=rf"Atomic number {z} with charge \{charge:+d} "):
        encode([m])
