"""Well-formed small files that the fuzz tests break, and the many ways to break them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom

SMILES = ("CC(=O)Oc1ccccc1C(=O)O", "C[NH3+]", "C#N", "c1ccoc1", "[NH3+]CC([O-])=O", "FC1CC1")
# What a number turns into; each has broken some reader.
NUMBERS = (b"-1", b"0", b"2147483648", b"99999999999999999999", b"nan", b"inf", b"-inf", b"1e308", b"1e-320", b"", b"x")


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    mol.SetProp("_Name", smiles)
    return mol


def sdf(v3000: bool = False) -> bytes:
    blocks = [Chem.MolToMolBlock(embedded(s), forceV3000=v3000) for s in SMILES]
    return "".join(f"{block}> <smiles>\n{s}\n\n$$$$\n" for block, s in zip(blocks, SMILES)).encode()


def xyz() -> bytes:
    frames = []
    for smiles in SMILES:
        mol = embedded(smiles)
        mol.SetProp("_Name", f"charge={Chem.GetFormalCharge(mol)}")
        frames.append(Chem.MolToXYZBlock(mol))
    return "".join(frames).encode()


def smi() -> bytes:
    return "".join(f"{s} molecule-{i}\n" for i, s in enumerate(SMILES)).encode()


def csv() -> bytes:
    return ("name,smiles,qed\n" + "".join(f'"m {i}",{s},0.5\n' for i, s in enumerate(SMILES))).encode()


def npz(compress: bool = True) -> bytes:
    handle = io.BytesIO()
    arrays = {
        "pos": np.linspace(0, 1, 60).reshape(5, 4, 3),
        "z": np.arange(20).reshape(5, 4),
        "name": np.array(["a", "bc"]),
    }
    (np.savez_compressed if compress else np.savez)(handle, **arrays)
    return handle.getvalue()


def mutants(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` broken versions of `data`, one to eight faults each, the same for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        broken = data
        for _ in range(int(rng.integers(1, 9)) if rng.random() < 0.5 else 1):
            broken = _FAULTS[int(rng.integers(len(_FAULTS)))](broken, rng)
        yield broken


def _byte(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(max(len(data), 1)))
    return data[:at] + bytes([int(rng.integers(256))]) + data[at + 1 :]


def _bit(data: bytes, rng: np.random.Generator) -> bytes:
    if not data:
        return data
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _span(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(rng.integers(1, 200)))


def _drop(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _double(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:]


def _number(data: bytes, rng: np.random.Generator) -> bytes:
    found = list(re.finditer(rb"-?\d+\.?\d*", data))
    if not found:
        return data
    hit = found[int(rng.integers(len(found)))]
    return data[: hit.start()] + NUMBERS[int(rng.integers(len(NUMBERS)))] + data[hit.end() :]


def _lines(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    i, j = (int(k) for k in rng.integers(len(lines), size=2))
    if rng.random() < 0.3:
        del lines[i]
    elif rng.random() < 0.5:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        lines.insert(i, lines[j])
    return b"\n".join(lines)


def _word(data: bytes, rng: np.random.Generator) -> bytes:
    # Four bytes that a binary reader may take for a count.
    at = int(rng.integers(max(len(data), 1)))
    value = int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000]))
    return data[:at] + value.to_bytes(4, "little") + data[at + 4 :]


_FAULTS = (_byte, _bit, _cut, _drop, _double, _number, _lines, _word)
