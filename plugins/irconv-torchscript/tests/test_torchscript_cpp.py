"""The artifact in libtorch's C++ loader: a program is built with the libtorch of the wheel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

import irconv

_SOURCE = Path(__file__).with_name("torchscript_loader.cpp")
_MODEL = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[2, 3, 8, 8] x) => (float[2, 4] y)
<float[4, 3, 3, 3] w = {%s}>
{
    c = Conv <pads = [1, 1, 1, 1]> (x, w)
    r = Relu(c)
    g = GlobalAveragePool(r)
    y = Flatten(g)
}
"""


def _build(directory: Path) -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    import torch
    from torch.utils import cpp_extension

    libraries = Path(torch.__file__).parent / "lib"
    program = directory / "loader"
    includes = [f"-I{path}" for path in cpp_extension.include_paths()]
    subprocess.run(
        [
            compiler, "-std=c++20", "-O0", *includes, str(_SOURCE), "-o", str(program),
            f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-ltorch", "-ltorch_cpu", "-lc10",
        ],
        check=True,
    )  # fmt: skip
    return program


@pytest.mark.slow
def test_libtorch_loads_the_artifact_and_computes_the_same(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    weights = ", ".join(f"{value:.6f}" for value in generator.normal(size=4 * 3 * 3 * 3))
    source = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(_MODEL % weights), source)
    result = irconv.compile(source, ["torchscript"], tmp_path / "build")
    assert result.exit_code == 0
    bundle = tmp_path / "build" / "torchscript"
    x = generator.normal(size=(2, 3, 8, 8)).astype(np.float32)
    expected = irconv.run(bundle, {"x": x})["y"]

    x.tofile(tmp_path / "x.bin")
    program = _build(tmp_path)
    model = next(bundle.glob("*.pt"))
    dims = [str(size) for size in x.shape]
    subprocess.run(
        [str(program), str(model), str(tmp_path / "x.bin"), str(tmp_path / "y.bin"), *dims],
        check=True,
    )
    found = np.fromfile(tmp_path / "y.bin", np.float32).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
