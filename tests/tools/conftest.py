"""A plugin whose passes and target are wrong where asked to be, and models for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(autouse=True)
def faulty_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the plugin for this process and its workers."""
    site = tmp_path / "site"
    metadata = site / "irconv_faulty-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: irconv-faulty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[irconv]\nfaulty = irconv_faulty\n")
    paths = [str(site), str(PLUGIN)]
    for path in paths:
        monkeypatch.syspath_prepend(path)
    rest = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [*paths, rest])))


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Eight doublings with a cosine after each, which two outputs read; one factor is 3."""
    return write(tmp_path / "chain.onnx", chain_text(8))


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[[str], Path]:
    return lambda text: write(tmp_path / "model.onnx", text)


def write(path: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def chain_text(count: int) -> str:
    lines, value = [], "x"
    for number in range(count):
        lines += [
            f"[mul_{number}] m{number} = Mul ({value}, two)",
            f"[cos_{number}] c{number} = Cos (m{number})",
        ]
        value = f"c{number}"
    body = "\n".join(lines)
    return f"""
        < ir_version: 8, opset_import: ["" : 17] >
        chain (float[N, 4] x) => (float[N, 4] early, float[N, 4] late)
        < float two = {{2.0}}, float three = {{3.0}} > {{
            {body}
            [odd] o = Mul ({value}, three)
            [computed] s = Mul (o, x)
            [early] early = Neg (m0)
            [late] late = Sub (s, x)
        }}
    """
