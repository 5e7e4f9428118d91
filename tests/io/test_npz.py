"""NPZ: exact round trips, and bombs that are refused before they open."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scigen.errors import InputError
from scigen.io.npz import read_npz, write_npz

NUMBERS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.bool_, np.uint16]), hnp.array_shapes(min_side=0)
)


def archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def npy(header: bytes, body: bytes = b"", length: int | None = None, version: int = 1) -> bytes:
    layout = "<H" if version == 1 else "<I"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack(layout, len(header) if length is None else length)
        + header
        + body
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=NUMBERS, fortran=st.booleans(), compress=st.booleans())
def test_round_trip(tmp_path: Path, array: np.ndarray, fortran: bool, compress: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    write_npz(tmp_path / "x.npz", {"a": array, "text": np.array(["x", "é"])}, compress)
    back = read_npz(tmp_path / "x.npz", allow_nan=True)
    assert back["a"].dtype == array.dtype and np.array_equal(back["a"], array, equal_nan=array.dtype.kind == "f")
    assert back["text"].tolist() == ["x", "é"]


def test_nan_is_refused_unless_asked_for(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", {"a": np.array([1.0, np.nan])})
    with pytest.raises(InputError, match="`a` holds NaN"):
        read_npz(tmp_path / "x.npz")
    assert np.isnan(read_npz(tmp_path / "x.npz", allow_nan=True)["a"][1])


def test_objects_never(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="type object"):
        read_npz(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="store numbers"):
        write_npz(tmp_path / "y.npz", {"a": np.array([{}], dtype=object)})
    assert not (tmp_path / "y.npz").exists()


HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }"
BOMBS = {
    "8 TB declared": {"a.npy": npy(HEADER % b"1000000000000,")},
    "overflowing shape": {"a.npy": npy(HEADER % b"4294967296, 4294967296, 4294967296")},
    "negative shape": {"a.npy": npy(HEADER % b"-1,")},
    "zero times huge": {"a.npy": npy(HEADER % b"0, 99999999999999999999")},
    "4 GiB header": {"a.npy": npy(b"{}", length=0xFFFFFFFF, version=2) + b" " * 50_000_000},
    "deep header": {"a.npy": npy(b"(" * 9_000 + b")" * 900)},
    "not a dictionary": {"a.npy": npy(b"[1, 2]")},
    "pickle": {"a.npy": pickle.dumps([1])},
    "other name": {"../../x": b"x"},
    "no entry": {},
    "many entries": {f"{i}.npy": npy(HEADER % b"0,") for i in range(1500)},
    "short body": {"a.npy": npy(HEADER % b"3,", bytes(16))},
    "long body": {"a.npy": npy(HEADER % b"3,", bytes(32))},
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_are_refused_at_once(tmp_path: Path, case: str) -> None:
    path = archive(tmp_path / "x.npz", BOMBS[case])
    start = time.perf_counter()
    with pytest.raises(InputError, match="not a readable NPZ archive"):
        read_npz(path)
    assert time.perf_counter() - start < 0.5


def test_a_zip_bomb_costs_no_memory(tmp_path: Path) -> None:
    body = bytes(1 << 20)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("a.npy", "w", force_zip64=True) as entry:
            entry.write(npy(HEADER % b"50331648,"))
            for _ in range(384):  # 400 MB of zeros in 2 MB
                entry.write(body)
    code = (
        "import resource, sys\nfrom scigen.errors import InputError\nfrom scigen.io.npz import read_npz\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_npz(sys.argv[1])\nexcept InputError as error:\n    assert 'unpacks to' in str(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    out = subprocess.run([sys.executable, "-c", code, tmp_path / "x.npz"], capture_output=True, text=True, check=True)
    assert int(out.stdout) < 20_000  # kB


def test_other_compressions_and_lies_are_refused(tmp_path: Path) -> None:
    good = io.BytesIO()
    np.save(good, np.arange(3))
    for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(InputError, match="deflated"):
            read_npz(archive(tmp_path / "x.npz", {"a.npy": good.getvalue()}, kind))
    data = archive(tmp_path / "y.npz", {"a.npy": good.getvalue()}, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "y.npz").write_bytes(data.replace(np.arange(3).tobytes(), np.arange(1, 4).tobytes()))
    with pytest.raises(InputError, match="CRC"):
        read_npz(tmp_path / "y.npz")
