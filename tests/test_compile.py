"""The main job end to end: a model becomes a proved bundle, or nothing does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import irconv
from irconv.errors import ExitCode, InputError, MismatchError


def test_bundle_has_what_the_contract_says(small_net: Path, tmp_path: Path) -> None:
    result = irconv.compile(small_net, ["onnx"], tmp_path / "out")
    assert result.exit_code == ExitCode.OK
    bundle = tmp_path / "out" / "onnx"
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest == result.targets[0].manifest
    assert set(manifest) >= {
        "schema", "irconv", "target", "created", "source", "inputs", "outputs", "pipeline",
        "passes", "artifact", "verification", "environment", "seconds", "peak_rss_bytes",
        "backend_rss_bytes",
    }  # fmt: skip
    assert set(manifest["source"]) >= {"frontend", "sha256", "bytes", "opset"}
    assert manifest["source"]["opset"] == 17
    assert [entry["name"] for entry in manifest["inputs"]] == ["image"]
    assert manifest["inputs"][0] == {"name": "image", "dtype": "float32", "shape": ["N", 3, 8, 8]}
    assert [(e["name"], e["dtype"]) for e in manifest["outputs"]] == [
        ("logits", "float32"),
        ("label", "int64"),
    ]
    for record in manifest["passes"]:
        assert set(record) >= {"name", "modified", "seconds", "nodes_before", "nodes_after"}
    for entry in manifest["artifact"]["files"]:
        assert set(entry) == {"path", "sha256", "bytes"}
    verification = manifest["verification"]
    assert verification["level"] == "artifact"
    assert verification["verdict"] == "pass"
    for entry in verification["outputs"]:
        assert set(entry) >= {
            "name", "max_abs", "max_rel", "cosine", "snr_db", "tolerance", "basis", "ok",
        }  # fmt: skip
    assert set(manifest["seconds"]) == {
        "frontend", "passes", "legalize", "emit", "verify", "total",
    }  # fmt: skip


def test_the_artifact_is_optimized(small_net: Path, tmp_path: Path) -> None:
    irconv.compile(small_net, ["onnx"], tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "onnx" / "model.onnx")
    operators = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in operators
    assert "Identity" not in operators
    assert [entry.name for entry in model.graph.output] == ["logits", "label"]


def test_verify_and_run(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    irconv.compile(small_net, ["onnx"], tmp_path / "out")
    bundle = tmp_path / "out" / "onnx"
    assert irconv_cli("verify", bundle).code == 0
    assert irconv.verify(bundle).verification.verdict == "pass"
    image = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    done = irconv_cli(
        "run", bundle, "--input", f"image={tmp_path / 'image.npy'}", "-o", tmp_path / "y.npz"
    )
    assert done.code == 0, done.err
    with np.load(tmp_path / "y.npz") as outputs:
        assert outputs["logits"].shape == (2, 5)
        assert (outputs["logits"].argmax(1) == outputs["label"]).all()
    assert set(irconv.run(bundle, {"image": image})) == {"logits", "label"}
    for misfit in (image[0], image.astype("U4"), image + 1j):
        with pytest.raises(InputError, match="'image' does not fit"):
            irconv.run(bundle, {"image": misfit})
    with pytest.raises(InputError, match="lacks input 'image'"):
        irconv.run(bundle, {})


@pytest.mark.parametrize("change", ["flip", "remove", "add"])
def test_verify_notices_a_changed_file(
    change: str, small_net: Path, tmp_path: Path, irconv_cli
) -> None:
    irconv.compile(small_net, ["onnx"], tmp_path / "out")
    bundle = tmp_path / "out" / "onnx"
    model = bundle / "model.onnx"
    if change == "flip":
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
    elif change == "remove":
        (bundle / "golden" / "outputs.npz").unlink()
    else:
        (bundle / "extra.so").write_bytes(b"?")
    done = irconv_cli("verify", bundle)
    assert done.code == 1
    assert "not what was proved" in done.err


def test_a_mismatch_is_not_published(small_net: Path, tmp_path: Path, monkeypatch) -> None:
    """A pass that breaks the numbers within its contract must be caught by the proof."""
    _break_folding(monkeypatch)
    result = irconv.compile(small_net, ["onnx"], tmp_path / "out", passes="fuse-conv-batchnorm")
    assert result.exit_code == ExitCode.MISMATCH
    assert isinstance(result.targets[0].error, MismatchError)
    assert result.targets[0].directory is None
    assert not (tmp_path / "out" / "onnx").exists()


def test_allow_mismatch_publishes_and_says_so(small_net: Path, tmp_path: Path, monkeypatch) -> None:
    _break_folding(monkeypatch)
    result = irconv.compile(
        small_net, ["onnx"], tmp_path / "out", passes="fuse-conv-batchnorm", allow_mismatch=True
    )
    assert result.exit_code == ExitCode.MISMATCH
    manifest = json.loads((tmp_path / "out" / "onnx" / "manifest.json").read_text())
    assert manifest["verification"]["verdict"] == "fail"


def _break_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make fuse-conv-batchnorm change one weight by one percent after its work."""
    import onnx_ir as ir

    from irconv.passes.base import PassResult
    from irconv.passes.fuse_conv_batchnorm import FuseConvBatchnorm

    sound = FuseConvBatchnorm.run

    def broken(self, model, context) -> PassResult:
        result = sound(self, model, context)
        value = model.graph.initializers["head"]
        value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1.01), name="head")
        return PassResult(True, result.details)

    monkeypatch.setattr(FuseConvBatchnorm, "run", broken)


def test_an_old_bundle_is_replaced_whole(small_net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    irconv.compile(small_net, ["onnx"], out)
    first = json.loads((out / "onnx" / "manifest.json").read_text())
    irconv.compile(small_net, ["onnx{external-data=true}"], out)
    second = json.loads((out / "onnx" / "manifest.json").read_text())
    assert first["target"] == "onnx"
    assert second["target"] == "onnx{external_data=true}"
    assert (out / "onnx" / "model.onnx.data").exists()
    assert sorted(path.name for path in out.iterdir()) == ["onnx"]


def test_two_forms_of_one_target(small_net: Path, tmp_path: Path) -> None:
    result = irconv.compile(small_net, ["onnx", "onnx{opset=18}"], tmp_path / "out")
    assert result.exit_code == ExitCode.OK
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["onnx", "onnx-opset-18"]


def test_dry_run_writes_nothing(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    done = irconv_cli("compile", small_net, "-t", "onnx", "--dry-run", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert not (tmp_path / "out").exists()


def test_lossy_passes_state_their_effect(small_net: Path, tmp_path: Path) -> None:
    result = irconv.compile(
        small_net,
        ["onnx"],
        tmp_path / "out",
        quantize="quantize-weights{min_elements=8}",
        prune="magnitude{sparsity=0.25,min_elements=8}",
    )
    manifest = result.targets[0].manifest
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    records = {record["name"]: record for record in manifest["passes"]}
    for name in ("quantize-weights", "prune-magnitude"):
        accuracy = records[name]["details"]["accuracy"]
        assert set(accuracy) == {"logits", "label"}
        assert accuracy["logits"]["max_abs"] > 0
    operators = [n.op_type for n in onnx.load(tmp_path / "out" / "onnx" / "model.onnx").graph.node]
    assert "DequantizeLinear" in operators


def test_options_save_and_load(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    config = tmp_path / "config.json"
    first = irconv_cli(
        "compile", small_net, "-t", "onnx", "-O", "1", "--dry-run", "--save-config", config
    )
    assert first.code == 0, first.err
    assert json.loads(config.read_text()) == {"targets": ["onnx"], "level": 1}
    second = irconv_cli("compile", small_net, "--config", config, "-o", tmp_path / "out", "--json")
    assert second.code == 0, second.err
    assert "fuse-conv-batchnorm" not in second.json()["targets"][0]["manifest"]["pipeline"]


def test_golden_record_check_diff(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    golden = tmp_path / "golden"
    assert irconv_cli("golden", "record", small_net, "-o", golden).code == 0
    assert irconv_cli("golden", "check", golden, small_net).code == 0
    irconv.compile(small_net, ["onnx"], tmp_path / "out", golden=str(golden))
    assert irconv_cli("golden", "check", golden, tmp_path / "out" / "onnx").code == 0
    assert irconv_cli("golden", "diff", golden, golden).code == 0
    other = tmp_path / "other"
    irconv_cli("golden", "record", small_net, "-o", other, "--seed", "1")
    assert irconv_cli("golden", "diff", golden, other).code == 1


def test_golden_check_notices_a_changed_weight(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    golden = tmp_path / "golden"
    assert irconv_cli("golden", "record", small_net, "-o", golden).code == 0
    model = onnx.load(small_net)
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head")
    head.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(head) * 1.01, "head"))
    onnx.save(model, small_net)
    assert irconv_cli("golden", "check", golden, small_net).code == 1


def test_inspect_model_and_bundle(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    facts = irconv_cli("inspect", small_net, "--json").json()
    assert facts["kind"] == "model"
    assert [entry["name"] for entry in facts["inputs"]] == ["image"]
    irconv.compile(small_net, ["onnx"], tmp_path / "out")
    facts = irconv_cli("inspect", tmp_path / "out" / "onnx", "--json").json()
    assert facts["digests"] == "hold"
    assert facts["loads_here"]["ok"]
    assert irconv_cli("inspect", tmp_path / "out" / "onnx").code == 0


def test_check_lists_every_target(small_net: Path, irconv_cli) -> None:
    done = irconv_cli("check", small_net, "--target", "onnx", "--json")
    assert done.code == 0, done.err
    assert done.json()[0]["ok"]


@pytest.mark.parametrize("command", ["passes", "targets", "frontends", "plugins", "doctor"])
def test_listings(command: str, irconv_cli) -> None:
    plain = irconv_cli(command)
    assert plain.code == 0, plain.err
    assert "onnx" in plain.out
    assert irconv_cli(command, "--json").json()


def test_a_dimension_without_a_name_is_bound_by_its_position(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(
        onnx.parser.parse_model("""
            <ir_version: 8, opset_import: ["" : 17]>
            g (float[?, 4] x, float[N, 4] z) => (float[A, 4] y, float[N, 4] k) {
                y = Relu (x)
                k = Relu (z)
            }"""),
        path,
    )

    result = irconv.compile(path, ["onnx"], tmp_path / "out", shapes=["x[0]=3", "N=2"])

    assert result.exit_code == ExitCode.OK, result.targets[0].error
    bound = onnx.load(tmp_path / "out" / "onnx" / "model.onnx").graph.input
    sizes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in bound]
    assert sizes == [[3, 4], [2, 4]]
    with pytest.raises(InputError, match=r"'z\[0\]'.*\['N', 'x\[0\]'\]"):
        irconv.compile(path, ["onnx"], tmp_path / "again", shapes=["z[0]=3"])
