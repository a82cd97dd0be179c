"""Hostile and wrong TensorFlow files: refused before TensorFlow sees them, and truly hostile.

``test_the_attacks_are_real`` opens the same files by TensorFlow and Keras and finds that they
write files, so the refusals are not of harmless files.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from irconv.errors import InputError
from irconv.frontends.base import ImportRequest
from irconv.frontends.tensorflow import TensorflowFrontend
from irconv.frontends.tensorflow.keras_config import dangers_of_config
from irconv.worker import WorkerLimits

ATTACKS = {
    "in_signature": "WriteFile",
    "while_loading": "WriteFile",
    "v1_main_op": "WriteFile",
    "write.pb": "WriteFile",
    "lambda.keras": "Lambda",
    "lambda.h5": "Lambda",
}

OPEN = """
import os, sys, warnings
warnings.simplefilter("ignore")
os.environ["KERAS_BACKEND"] = "tensorflow"
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf
folder = Path(sys.argv[1])
x = np.zeros(2, np.float32)
for path in sorted(folder.iterdir()):
    try:
        if path.is_dir():
            tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.constant(x))
        elif path.suffix == ".pb":
            graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
            with tf.Graph().as_default(), tf.compat.v1.Session() as session:
                tf.import_graph_def(graph, name="")
                session.run("y:0", {"x:0": x})
        else:
            keras.saving.load_model(path, compile=False, safe_mode=False)(x[None])
    except Exception as error:
        print(path.name, type(error).__name__, str(error)[-300:], file=sys.stderr)
"""


def load(source: Path, folder: Path, **options: Any) -> None:
    scratch = folder / "scratch"
    scratch.mkdir()
    request = ImportRequest(directory=scratch, limits=WorkerLimits(seconds=120), **options)
    TensorflowFrontend().load(str(source), request).close()


@pytest.mark.parametrize("name", [*ATTACKS, "python.pb"])
def test_refused_before_tensorflow_sees_it(
    name: str, tensorflow_models: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="would do more than compute") as caught:
        load(tensorflow_models / "hostile" / name, tmp_path)
    assert ATTACKS.get(name, "calls Python") in caught.value.what
    assert "--trust" in caught.value.hint
    facts = TensorflowFrontend().inspect(str(tensorflow_models / "hostile" / name))
    assert facts["needs_trust"]
    assert not (tensorflow_models / "markers" / name).exists()


@pytest.mark.slow
def test_the_attacks_are_real(tensorflow_models: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(tensorflow_models / "hostile")],
        capture_output=True,
        text=True,
        check=True,
    )
    markers = tensorflow_models / "markers"
    made = {path.name for path in markers.iterdir()}
    for path in markers.iterdir():
        path.unlink()
    assert made == set(ATTACKS), done.stderr


Members = dict[str, bytes]


def pack(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def hdf5_bytes(write: Callable[[h5py.File], None]) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        write(file)
    return stream.getvalue()


CONFIG = {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": []}}


@pytest.fixture
def archive(tmp_path: Path) -> Members:
    return {
        "metadata.json": b"{}",
        "config.json": json.dumps(CONFIG).encode(),
        "model.weights.h5": hdf5_bytes(lambda file: None),
    }


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"config.json": b""}, "no sound JSON"),
        ({"config.json": b"[" * 100_000}, "no sound JSON"),
        ({"config.json": b"[]"}, "does not say which class"),
        ({"config.json": None}, "has no config.json"),
        ({"model.weights.h5": None}, "has no model.weights.h5"),
        ({"../outside": b"x"}, "path that leaves the archive"),
        ({"run.py": b"x"}, "no part of a Keras archive"),
        ({"model.weights.h5": b"no HDF5"}, "no whole HDF5 file"),
    ],
)
def test_archives_of_another_form(
    change: dict[str, bytes | None], what: str, archive: Members, tmp_path: Path
) -> None:
    members = {name: content for name, content in (archive | change).items() if content is not None}
    with pytest.raises(InputError, match=what) as caught:
        load(pack(tmp_path / "m.keras", members), tmp_path)
    assert caught.value.hint


def test_an_archive_that_unpacks_to_too_much(archive: Members, tmp_path: Path) -> None:
    archive["model.weights.h5"] = bytes(64 << 20)
    with pytest.raises(InputError, match="would unpack from"):
        load(pack(tmp_path / "m.keras", archive, zipfile.ZIP_DEFLATED), tmp_path)


def with_link(file: h5py.File) -> None:
    file["weights"] = h5py.ExternalLink("/etc/hostname", "/")


def with_soft_link(file: h5py.File) -> None:
    file["weights"] = h5py.SoftLink("/elsewhere")


def with_external_data(file: h5py.File) -> None:
    file.create_dataset("weights", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def with_virtual_data(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("weights", layout)


def with_claimed_size(file: h5py.File) -> None:
    file.create_dataset("weights", (1 << 40,), "f4", chunks=(1 << 20,))


HDF5 = {
    "is a link": with_link,
    "is a link, which": with_soft_link,
    "has its data in another file": with_external_data,
    "its data in another file": with_virtual_data,
    "claims 4,398,046,511,104 bytes": with_claimed_size,
}


@pytest.mark.parametrize("what", HDF5)
def test_hdf5_files_that_lead_elsewhere(what: str, archive: Members, tmp_path: Path) -> None:
    content = hdf5_bytes(HDF5[what])
    archive["model.weights.h5"] = content
    with pytest.raises(InputError, match=what):
        load(pack(tmp_path / "m.keras", archive), tmp_path)
    (tmp_path / "m.h5").write_bytes(content)
    with pytest.raises(InputError, match=what):
        TensorflowFrontend().inspect(str(tmp_path / "m.h5"))


def layer(name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": name, "config": {"name": "it"} | config}


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (layer("Lambda"), "Python code that the file holds"),
        (layer("TFSMLayer", filepath="/m"), "loads another SavedModel"),
        (layer("TorchModuleWrapper"), "unpickles"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "a file to read"),
        (layer("Dense", activation={"class_name": "__lambda__", "config": {}}), "Python lambda"),
        (layer("Dense", x={"class_name": "__typespec__", "config": []}), "of the kind"),
        (layer("Dense") | {"module": "os"}, "the class 'Dense' of 'os'"),
        (layer("Dense") | {"module": None}, "of no module"),
        (layer("Dense") | {"module": "keras.utils"}, "not part of Keras"),
        (layer("Dense") | {"module": "keras.src.utils.file_utils"}, "not part of Keras"),
        (layer("Mine") | {"registered_name": "pack>Mine"}, "registered class 'pack>Mine'"),
        (
            {"module": "os", "class_name": "function", "config": "system"},
            "the function 'system' of 'os'",
        ),
        (
            {"module": "keras.utils", "class_name": "function", "config": "get_file"},
            "the function 'get_file' of 'keras.utils'",
        ),
    ],
)
def test_what_a_configuration_may_not_name(part: dict[str, Any], what: str) -> None:
    document = CONFIG | {"config": {"name": "m", "layers": [layer("ReLU"), {"deep": [part]}]}}
    (reason, *_) = dangers_of_config(document)
    assert what in reason
    assert dangers_of_config(CONFIG | {"config": {"layers": [layer("ReLU")]}}) == []


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.pb", "saved_model.pb"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"\x89HDF\r\n\x1a\n", b"\n\xff\xff\xff\x7f", b"<html>"]
)
def test_files_of_another_kind(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(path, tmp_path)
    assert caught.value.what
    assert caught.value.hint


def test_weights_only(tensorflow_models: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds weights only") as caught:
        load(tensorflow_models / "only.weights.h5", tmp_path)
    assert "model.save" in caught.value.hint


def copied(tensorflow_models: Path, name: str, folder: Path) -> Path:
    return Path(shutil.copytree(tensorflow_models / name, folder / name))


def test_a_saved_model_without_its_variables(tensorflow_models: Path, tmp_path: Path) -> None:
    root = copied(tensorflow_models, "signatures", tmp_path)
    shutil.rmtree(root / "variables")
    with pytest.raises(InputError, match="has no weights"):
        load(root, tmp_path)


def test_a_saved_model_whose_variables_are_cut_off(tensorflow_models: Path, tmp_path: Path) -> None:
    root = copied(tensorflow_models, "signatures", tmp_path)
    data = root / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:20])
    with pytest.raises(InputError, match="cannot load the SavedModel"):
        load(root, tmp_path)


def test_variables_that_lead_elsewhere(tensorflow_models: Path, tmp_path: Path) -> None:
    root = copied(tensorflow_models, "signatures", tmp_path)
    data = root / "variables" / "variables.data-00000-of-00001"
    moved = tmp_path / "elsewhere"
    data.rename(moved)
    data.symlink_to(moved)
    with pytest.raises(InputError, match="outside its folder"):
        load(root, tmp_path)


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_programs_that_are_cut_off(cut: int, tensorflow_models: Path, tmp_path: Path) -> None:
    root = copied(tensorflow_models, "signatures", tmp_path)
    program = root / "saved_model.pb"
    program.write_bytes(program.read_bytes()[:-cut])
    with pytest.raises(InputError, match="is no SavedModel: "):
        load(root, tmp_path)


def test_an_operator_that_tensorflow_does_not_have(tensorflow_models: Path, tmp_path: Path) -> None:
    content = (tensorflow_models / "convolution.pb").read_bytes()
    path = tmp_path / "m.pb"
    path.write_bytes(content.replace(b"Softmax", b"Sofamax"))
    with pytest.raises(InputError, match="Sofamax") as caught:
        load(path, tmp_path)
    assert "custom operators" in caught.value.hint


def test_arrays_are_as_they_are_claimed(archive: Members, tmp_path: Path) -> None:
    """An honest file of many zeros is not refused for being small."""
    archive["model.weights.h5"] = hdf5_bytes(
        lambda file: file.create_dataset("w", data=np.zeros(100_000, "f4"), compression="gzip")
    )
    facts = TensorflowFrontend().inspect(str(pack(tmp_path / "m.keras", archive)))
    assert facts["needs_trust"] is False
