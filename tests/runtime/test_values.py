from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from irconv.errors import InputError
from irconv.runtime.values import dtype_name, load_array, load_samples, numpy_dtype, save_samples

EXTENSIONS = [
    "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    "float4_e2m1fn", "int4", "uint4",
]  # fmt: skip
NATIVE = ["float64", "float32", "float16", "int64", "int8", "uint64", "bool", "complex64"]


def round_trip(tmp_path, *samples):
    save_samples(tmp_path / "s.npz", samples)
    return load_samples(tmp_path / "s.npz")


@pytest.mark.parametrize("name", EXTENSIONS + NATIVE)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 1, 3)])
def test_tensors_of_every_dtype(name, shape, tmp_path):
    array = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(numpy_dtype(name))
    (loaded,) = round_trip(tmp_path, {"x": array})
    assert loaded["x"].dtype == array.dtype
    assert dtype_name(loaded["x"].dtype) == name
    assert loaded["x"].shape == shape
    assert loaded["x"].tobytes() == array.tobytes()


def test_non_finite_bits_survive(tmp_path):
    array = np.array([np.nan, np.inf, -np.inf, -0.0]).astype(ml_dtypes.bfloat16)
    assert round_trip(tmp_path, {"x": array})[0]["x"].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "texts", [["", "ä€", "a\x00", " "], [b"bytes", b"\xc3\xa4"], [], ["x" * 5000, "y"]]
)
def test_strings(texts, tmp_path):
    (loaded,) = round_trip(tmp_path, {"s": np.array(texts, object)})
    wanted = [item.decode() if isinstance(item, bytes) else item for item in texts]
    assert loaded["s"].dtype == object
    assert loaded["s"].tolist() == wanted
    grid = np.array([["a", "b"], ["c", "d"]])
    assert round_trip(tmp_path, {"s": grid})[0]["s"].tolist() == grid.tolist()


def test_sequences_maps_and_optionals(tmp_path):
    sample = {
        "sequence": [np.zeros((2, 2), np.float32), np.ones(3, ml_dtypes.bfloat16)],
        "empty": [],
        "maps": [{1: 0.25, 2: 0.75}, {"a": 1.0}],
        "none": None,
        "nested": [[np.zeros(1)], None],
    }
    loaded, again = round_trip(tmp_path, sample, {"none": None})
    assert [item.dtype for item in loaded["sequence"]] == [np.float32, ml_dtypes.bfloat16]
    assert loaded["empty"] == []
    assert [{k: float(v) for k, v in m.items()} for m in loaded["maps"]] == sample["maps"]
    assert loaded["none"] is None
    assert loaded["nested"][1] is None
    assert again == {"none": None}


def test_names_may_be_anything(tmp_path):
    names = ["a/b", "../x", "a.npy", "", "__index__", "ä"]
    (loaded,) = round_trip(tmp_path, {name: np.zeros(1) for name in names})
    assert list(loaded) == names


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_samples(tmp_path / f"{name}.npz", [{"x": np.arange(4)}])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_plain_npz_is_one_sample(tmp_path):
    np.savez_compressed(tmp_path / "p.npz", x=np.zeros((1000, 100)), y=np.ones(2))
    (loaded,) = load_samples(tmp_path / "p.npz")
    assert set(loaded) == {"x", "y"}


def header(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)
    return buffer.getvalue()


HOSTILE = {
    "4 TiB header": header("(1099511627776, )", "<f4"),
    "negative size": header("(-1, )"),
    "product overflows": header("(4294967296, 4294967296, 4294967296)"),
    "Python objects": object_array(),
    "a raw pickle": pickle.dumps(print),
    "code in the header": header("__import__('os').getpid()"),
    "no header": b"",
    "unknown version": b"\x93NUMPY\x09\x00" + header("(1,)")[8:],
    "a huge header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31),
}


@pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_members_are_bad_input(member, tmp_path):
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.writestr("x.npy", member)
    with pytest.raises(InputError):
        load_samples(tmp_path / "h.npz")
    (tmp_path / "h.npy").write_bytes(member)
    with pytest.raises(InputError):
        load_array(tmp_path / "h.npy")


def test_a_zip_bomb_is_bad_input(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as file,
    ):
        file.write(header(f"({(300 << 20) // 8}, )"))
        for _ in range(300):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="unpack"):
        load_samples(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    "index",
    [
        b"not json", b"[[]]", b'{"a": 1}', b'[{"x": {}}]', b'[{"x": {"kind": "tensor"}}]', b"7",
        b'[{"x": {"kind": "tensor", "member": "a0", "dtype": "int4"}}]',
        b'[{"x": {"kind": "tensor", "member": "a9", "dtype": "float32"}}]',
        b'[{"x": {"kind": "strings", "member": "a0", "shape": [1]}}]',
        b'[{"x": {"kind": "map", "keys": [1, 2], "items": []}}]',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_broken_index_is_bad_input(index, tmp_path):
    members = {"a0": np.zeros(3), "__index__": np.frombuffer(index, np.uint8)}
    np.savez(tmp_path / "i.npz", **members)
    with pytest.raises(InputError):
        load_samples(tmp_path / "i.npz")


@pytest.mark.parametrize("keep", [0, 10, 100, -1])
def test_truncated_files_are_bad_input(keep, tmp_path):
    save_samples(tmp_path / "t.npz", [{"x": np.arange(100)}])
    (tmp_path / "t.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:keep])
    with pytest.raises(InputError):
        load_samples(tmp_path / "t.npz")


def test_encrypted_members_are_bad_input(tmp_path):
    np.savez(tmp_path / "e.npz", x=np.zeros(3))
    raw = bytearray((tmp_path / "e.npz").read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    raw[6] |= 1
    (tmp_path / "e.npz").write_bytes(raw)
    with pytest.raises(InputError):
        load_samples(tmp_path / "e.npz")


def test_the_index_is_json(tmp_path):
    save_samples(tmp_path / "s.npz", [{"x": np.zeros(1, ml_dtypes.bfloat16)}])
    with np.load(tmp_path / "s.npz", allow_pickle=False) as archive:
        assert json.loads(archive["__index__"].tobytes())[0]["x"]["dtype"] == "bfloat16"
