"""The wheels hold what they must, and work in an environment that has nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import onnx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PROJECTS = [ROOT, *PLUGINS]
PACKAGES = {"irconv": "irconv"} | {path.name: path.name.replace("-", "_") for path in PLUGINS}

LEVELS = {
    "onnx": {"artifact"},
    "reference": {"artifact"},
    "openvino": {"artifact"},
    "tflite": {"artifact"},
    "coreml": {"artifact", "reference"},
    "torchscript": {"artifact"},
    "trt": {"artifact", "graph"},
}
"""Every target that its own distribution is enough for, and the levels of proof."""
EXTRAS = {"executorch"}
"""Targets that need an extra of their distribution."""

MODEL = """
< ir_version: 9, opset_import: ["" : 18] >
tiny (float[N, 4] x) => (float[N, 3] y)
<float[4, 3] w = {0.5, -1.0, 2.0, 0.25, 0.5, -0.5, 1.0, 1.5, -2.0, 0.75, -0.25, 1.0},
 float two = {2.0}> {
    h = MatMul (x, w)
    half = Div (h, two)
    y = Softmax <axis = -1> (half)
}
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Build every wheel; return them by distribution name."""
    folder = tmp_path_factory.mktemp("wheels")
    built = {}
    for project in PROJECTS:
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--outdir", folder, project],
            check=True,
            capture_output=True,
        )
    for wheel in folder.glob("*.whl"):
        built[wheel.name.split("-")[0].replace("_", "-")] = wheel
    return built


def test_every_project_builds(wheels):
    assert set(wheels) == set(PACKAGES)
    assert all(wheel.name.endswith("-py3-none-any.whl") for wheel in wheels.values())


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_wheel_holds(wheels, name):
    package = PACKAGES[name]
    with zipfile.ZipFile(wheels[name]) as archive:
        names = set(archive.namelist())
        info = next(entry.split("/")[0] for entry in names if entry.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert f"{package}/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert {entry.split("/")[0] for entry in names} == {package, info}
    assert not [entry for entry in names if "tests" in entry or entry.endswith(".pyc")]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().strip()
    if name == "irconv":
        assert "irconv = irconv.cli.main:main" in entry_points
    else:
        assert "[irconv]" in entry_points
        assert any(entry.startswith("irconv") for entry in metadata.get_all("Requires-Dist"))


@pytest.fixture(scope="module")
def empty_environment(wheels, tmp_path_factory):
    """Install the core and every plugin into an environment that was empty."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run(
        [
            folder / "bin" / "python", "-m", "pip", "install", "--quiet",
            "--constraint", ROOT / "constraints.txt",
            *wheels.values(),
        ],
        check=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def installed(empty_environment, tmp_path):
    """Run the installed command outside of the repository."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [empty_environment / "bin" / "irconv", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_the_installed_command(installed):
    assert installed("--version").startswith("irconv, version ")
    records = json.loads(installed("plugins", "--json"))
    provided = {entry for record in records for entry in record["provides"]}
    assert {f"backend:{target}" for target in LEVELS} <= provided
    assert "pass:replace-div-by-constant" in provided
    assert {"frontend:sklearn", "frontend:jax"} <= provided
    assert [record["error"] for record in records] == [""] * len(PROJECTS)
    targets = json.loads(installed("targets", "--json"))
    available = {entry["target"]: entry["available"] for entry in targets}
    assert available.keys() - EXTRAS == LEVELS.keys()
    assert all(available[target] for target in LEVELS)
    assert not any(available[target] for target in available.keys() & EXTRAS)
    assert "frontend onnx" in installed("doctor")


def test_the_installed_compiler(installed, tmp_path):
    onnx.save(onnx.parser.parse_model(MODEL), tmp_path / "tiny.onnx")
    installed("compile", "tiny.onnx", "--target", "all", "--shape", "N=1..4@2", "-o", "build")
    for target, levels in LEVELS.items():
        manifest = json.loads((tmp_path / "build" / target / "manifest.json").read_text())
        assert manifest["verification"]["verdict"] == "pass"
        assert manifest["verification"]["level"] in levels
        installed("verify", f"build/{target}")
    operators = [
        node.op_type for node in onnx.load(tmp_path / "build/reference/model.onnx").graph.node
    ]
    assert "Div" not in operators
    assert operators == ["MatMul", "Softmax"]
