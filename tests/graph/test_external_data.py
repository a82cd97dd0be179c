from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from irconv.errors import InputError
from irconv.graph.reading.load import LoadedModel, load_model
from irconv.graph.serialize import save_model

WEIGHT = np.arange(6, dtype=np.float32)
BLOB = "0123456789abcdef" * 4


def _model(location: str) -> bytes:
    tensor = TensorProto(name="w", data_type=1, dims=[6], data_location=1)
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [onnx.ValueInfoProto(name="y")],
        [tensor],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=10
    ).SerializeToString()
    return content


def _weight(loaded: LoadedModel) -> np.ndarray:
    tensor = loaded.model.graph.initializers["w"].const_value
    assert tensor is not None
    return tensor.numpy()


def _cache(root: Path, repository: str = "models--org--name") -> tuple[Path, Path]:
    """Lay a model out as the Hugging Face cache does; return snapshot and blobs."""
    snapshot = root / repository / "snapshots" / ("f" * 40)
    blobs = root / repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / BLOB).write_bytes(WEIGHT.tobytes())
    return snapshot, blobs


@pytest.mark.parametrize("subfolder", ["", "onnx"])
def test_the_hugging_face_cache_is_read(tmp_path: Path, subfolder: str) -> None:
    snapshot, blobs = _cache(tmp_path)
    folder = snapshot / subfolder
    folder.mkdir(exist_ok=True)
    up = "../../.." if subfolder else "../.."
    (blobs / ("a" * 40)).write_bytes(_model("model.onnx_data"))
    (folder / "model.onnx").symlink_to(f"{up}/blobs/{'a' * 40}")
    (folder / "model.onnx_data").symlink_to(f"{up}/blobs/{BLOB}")
    loaded = load_model(folder / "model.onnx")
    np.testing.assert_array_equal(_weight(loaded), WEIGHT)
    assert loaded.files == ((blobs / ("a" * 40)).resolve(), (blobs / BLOB).resolve())
    written = save_model(loaded.model, tmp_path / "copy.onnx", inline_limit=0)
    np.testing.assert_array_equal(_weight(load_model(written[0])), WEIGHT)


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("../../blobs/notes.txt", "a name that is no digest"),
        ("../../../models--org--other/blobs/" + BLOB, "another repository"),
        ("../../../secret", "outside the repository"),
        ("../../blobs/deeper/" + BLOB, "a folder below the blobs"),
        ("../../refs/" + BLOB, "not the blobs"),
    ],
)
def test_only_blobs_of_the_same_repository_are_read(tmp_path: Path, link: str, why: str) -> None:
    snapshot, blobs = _cache(tmp_path)
    _cache(tmp_path, "models--org--other")
    for path in (
        blobs / "notes.txt", tmp_path / "secret", blobs / "deeper" / BLOB,
        snapshot.parent.parent / "refs" / BLOB,
    ):  # fmt: skip
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(WEIGHT.tobytes())
    (snapshot / "model.onnx").write_bytes(_model("data"))
    (snapshot / "data").symlink_to(link)
    with pytest.raises(InputError, match="outside the model's folder") as caught:
        load_model(snapshot / "model.onnx")
    assert "copy the file itself" in caught.value.hint, why


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "w.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "w").symlink_to("link/w.bin")
    (tmp_path / "model.onnx").write_bytes(_model("w"))
    loaded = load_model(tmp_path / "model.onnx")
    np.testing.assert_array_equal(_weight(loaded), WEIGHT)
    assert loaded.files[1] == (tmp_path / "real" / "w.bin").resolve()


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "w.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "real" / "model.onnx").write_bytes(_model("w.bin"))
    (tmp_path / "link").symlink_to("real")
    np.testing.assert_array_equal(_weight(load_model(tmp_path / "link" / "model.onnx")), WEIGHT)


def test_the_model_itself_may_have_hard_links(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "model.onnx").write_bytes(_model("w.bin"))
    (tmp_path / "second.onnx").hardlink_to(tmp_path / "model.onnx")
    loaded = load_model(tmp_path / "second.onnx", whole_file_limit=0)
    np.testing.assert_array_equal(_weight(loaded), WEIGHT)


def test_the_way_out_of_a_hard_link_works(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(WEIGHT.tobytes())
    (tmp_path / "w.bin").hardlink_to(tmp_path / "elsewhere")
    (tmp_path / "model.onnx").write_bytes(_model("w.bin"))
    with pytest.raises(InputError, match="2 hard links") as caught:
        load_model(tmp_path / "model.onnx")
    assert "copy it, and rename" in caught.value.hint
    (tmp_path / "own").write_bytes((tmp_path / "w.bin").read_bytes())
    (tmp_path / "own").rename(tmp_path / "w.bin")
    np.testing.assert_array_equal(_weight(load_model(tmp_path / "model.onnx")), WEIGHT)


def test_a_file_that_shrinks_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "model.onnx").write_bytes(_model("w.bin"))
    loaded = load_model(tmp_path / "model.onnx")
    (tmp_path / "w.bin").write_bytes(b"short")
    with pytest.raises(InputError, match="has become too short"):
        _weight(loaded)
    with pytest.raises(InputError, match="has become too short"):
        save_model(loaded.model, tmp_path / "out.onnx", inline_limit=0)
