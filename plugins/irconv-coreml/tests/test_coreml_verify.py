"""``irconv verify`` of a Core ML bundle: what was changed after the proof is found."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import irconv
from irconv.errors import ExitCode

WEIGHTS = Path("model.mlpackage/Data/com.apple.CoreML/weights/weight.bin")
PROGRAM = Path("model.mlpackage/Data/com.apple.CoreML/model.mlmodel")
DEAD = 5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products; nothing reads channel DEAD of the first."""
    folder, random = tmp_path_factory.mktemp("verify"), np.random.default_rng(2)
    first, second = (random.standard_normal(s).astype(np.float32) for s in ((32, 24), (24, 16)))
    second[DEAD] = 0
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 20]>
        g (float[N, 32] x) => (float[N, 16] y) { a = MatMul (x, v) r = Relu (a) y = MatMul (r, w) }
    """)
    for name, array in (("v", first), ("w", second)):
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.save(model, folder / "model.onnx")
    result = irconv.compile(folder / "model.onnx", ["coreml"], folder / "out")
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    np.save(folder / "dead.npy", first[:, DEAD])
    return folder / "out" / "coreml"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "coreml"))


def change(bundle: Path, file: Path, old: bytes, new: bytes, *, conceal: bool) -> None:
    """Replace bytes of a file; concealed, the manifest takes the new file's digest."""
    data = (bundle / file).read_bytes()
    assert data.count(old) == 1
    data = data.replace(old, new)
    (bundle / file).write_bytes(data)
    if conceal:
        manifest = json.loads((bundle / "manifest.json").read_text())
        (entry,) = [e for e in manifest["artifact"]["files"] if e["path"] == str(file)]
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        entry["bytes"] = len(data)
        (bundle / "manifest.json").write_text(json.dumps(manifest))


def weight_of_the_dead_channel(bundle: Path) -> bytes:
    return bytes(np.load(bundle.parent.parent / "dead.npy")[:4].tobytes())


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML itself runs it there")
def test_the_manifest_says_what_was_proved(bundle: Path) -> None:
    verification = json.loads((bundle / "manifest.json").read_text())["verification"]
    assert (verification["level"], verification["verdict"]) == ("reference", "pass")
    assert verification["ran"]["runtime"] == "reference interpreter of ML Programs"
    assert verification["ran"]["weights"].startswith("2 constants equal")


def test_an_untouched_bundle_holds(copy: Path, irconv_cli: Callable[..., Any]) -> None:
    assert irconv_cli("verify", copy).code == ExitCode.OK


def test_changed_bytes_do_not_have_their_digest(
    bundle: Path, copy: Path, irconv_cli: Callable[..., Any]
) -> None:
    old = weight_of_the_dead_channel(bundle)
    change(copy, WEIGHTS, old, bytes(reversed(old)), conceal=False)

    done = irconv_cli("verify", copy)

    assert done.code == ExitCode.MISMATCH
    assert "not what was proved" in done.err


@pytest.mark.skipif(sys.platform == "darwin", reason="the interpreter compares them elsewhere")
def test_a_concealed_weight_that_no_output_shows_is_found(
    bundle: Path, copy: Path, irconv_cli: Callable[..., Any]
) -> None:
    old = weight_of_the_dead_channel(bundle)
    change(copy, WEIGHTS, old, np.float32([9, 9, 9, 9]).tobytes(), conceal=True)

    done = irconv_cli("verify", copy)

    assert done.code == ExitCode.MISMATCH
    assert "1 of 2 weights are not in the package as they were handed over: 'v.T'" in done.err


def test_a_concealed_change_of_the_program_shows_in_the_outputs(
    copy: Path, irconv_cli: Callable[..., Any]
) -> None:
    change(copy, PROGRAM, b"\x04relu", b"\x04tanh", conceal=True)

    done = irconv_cli("verify", copy)

    assert done.code == ExitCode.MISMATCH
    assert "'y'" in done.err
