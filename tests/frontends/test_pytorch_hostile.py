"""Hostile exported programs: refused before PyTorch sees them, and truly hostile.

``test_the_attacks_are_real`` opens the same files by PyTorch itself and finds that they run
code, so the refusals are not of harmless files.
"""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irconv.errors import InputError
from irconv.frontends.base import ImportRequest
from irconv.frontends.pytorch import PytorchFrontend
from irconv.worker import WorkerLimits

ROOT = "program"
MODEL = f"{ROOT}/models/model.json"
SAMPLES = f"{ROOT}/data/sample_inputs/model.pt"
WEIGHTS = f"{ROOT}/data/weights/model_weights_config.json"
CONSTANTS = f"{ROOT}/data/constants/model_constants_config.json"

Members = dict[str, bytes]
Attack = Callable[[Members, str], None]
ATTACKS: dict[str, Attack] = {}
STOPPED_LATE: set[str] = set()


class Evil:
    """Runs Python code when it is unpickled."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (self.code,)


def read_members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {
            f"{ROOT}/{name.partition('/')[2]}": archive.read(name) for name in archive.namelist()
        }


def pack(members: Members) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tensor_file(payload: bytes) -> bytes:
    return pack(
        {"archive/data.pkl": payload, "archive/byteorder": b"little", "archive/version": b"3\n"}
    )


def touch(marker: str) -> str:
    return f"open({marker!r}, 'w').close()"


def nameless(code: str) -> str:
    """The code as one expression without quotes, brackets or backslashes to stumble over."""
    return f"__import__(chr(111)+chr(115)).system({'+'.join(f'chr({ord(c)})' for c in code)})"


def edit(members: Members, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(members[name])
    change(document)
    members[name] = json.dumps(document).encode()


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


def attempt(function: Attack) -> Attack:
    """An attack that PyTorch 2.13 stops late, by its verifier or by a syntax error."""
    STOPPED_LATE.add(function.__name__)
    return attack(function)


@attack
def pickle_in_sample_inputs(members: Members, marker: str) -> None:
    members[SAMPLES] = tensor_file(pickle.dumps(Evil(touch(marker)), protocol=2))


@attack
def pickle_of_protocol_4(members: Members, marker: str) -> None:
    members[SAMPLES] = tensor_file(pickle.dumps(Evil(touch(marker)), protocol=4))


@attack
def bare_pickle_in_sample_inputs(members: Members, marker: str) -> None:
    members[SAMPLES] = pickle.dumps(Evil(touch(marker)), protocol=2)


@attack
def pickled_weight(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        entry = next(iter(document["config"].values()))
        entry["use_pickle"] = True
        members[f"{ROOT}/data/weights/{entry['path_name']}"] = tensor_file(
            pickle.dumps(Evil(touch(marker)), protocol=2)
        )

    edit(members, WEIGHTS, change)


@attack
def pickled_constant(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        entry = next(iter(document["config"].values()))
        entry["use_pickle"] = True
        members[f"{ROOT}/data/constants/{entry['path_name']}"] = tensor_file(
            pickle.dumps(Evil(touch(marker)), protocol=2)
        )

    edit(members, CONSTANTS, change)


@attack
def opaque_object(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        entry = next(iter(document["config"].values()))
        entry |= {"path_name": "opaque_obj_0", "use_pickle": True}

    edit(members, CONSTANTS, change)
    members[f"{ROOT}/data/constants/opaque_obj_0"] = pickle.dumps(Evil(touch(marker)))


@attack
def weights_of_the_old_layout(members: Members, marker: str) -> None:
    members[f"{ROOT}/data/weights/model.pt"] = tensor_file(
        pickle.dumps(Evil(touch(marker)), protocol=2)
    )


@attack
def constants_of_the_old_layout(members: Members, marker: str) -> None:
    members[f"{ROOT}/data/constants/model.pt"] = tensor_file(
        pickle.dumps(Evil(touch(marker)), protocol=2)
    )


@attack
def shape_expression(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        values = document["graph_module"]["graph"]["tensor_values"]
        size = values["x"]["sizes"][0]["as_expr"]
        size["expr_str"] = f"[{nameless('touch ' + marker)}, {size['expr_str']}][1]"

    edit(members, MODEL, change)


@attack
def guard(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["guards_code"] = [f"[{nameless('touch ' + marker)}, 1][1] == 1"]

    edit(members, MODEL, change)


@attempt
def callable_as_operator(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        graph = document["graph_module"]["graph"]
        graph["nodes"].append(
            {
                "target": "torch.os.system",
                "inputs": [{"name": "", "arg": {"as_string": f"touch {marker}"}, "kind": 1}],
                "outputs": [{"as_none": True}],
                "metadata": {},
                "is_hop_single_tensor_return": None,
                "name": "system",
            }
        )

    edit(members, MODEL, change)


@attempt
def name_of_an_input(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        module = document["graph_module"]
        name = f"y={nameless('touch ' + marker)}"
        for entry in module["graph"]["inputs"]:
            if entry["as_tensor"]["name"] == "x":
                entry["as_tensor"]["name"] = name
        module["graph"]["tensor_values"][name] = module["graph"]["tensor_values"].pop("x")
        text = json.dumps(module).replace(
            '{"as_tensor": {"name": "x"}}', json.dumps({"as_tensor": {"name": name}})
        )
        document["graph_module"] = json.loads(text)

    edit(members, MODEL, change)


@attempt
def name_of_a_keyword(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        tree = json.loads(signature["in_spec"])
        leaf = {"type": None, "context": None, "children_spec": []}
        tree[1]["children_spec"] = [
            {"type": "builtins.tuple", "context": "null", "children_spec": []},
            {
                "type": "builtins.dict",
                "context": json.dumps([f"x={nameless('touch ' + marker)}"]),
                "children_spec": [leaf],
            },
        ]
        signature["in_spec"] = json.dumps(tree)
        signature["forward_arg_names"] = None

    edit(members, MODEL, change)


@attempt
def name_of_an_argument(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        signature["forward_arg_names"] = [f"x={nameless('touch ' + marker)}"]

    edit(members, MODEL, change)


@attack
def module_imported_by_a_tree(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        leaf = {"type": None, "context": None, "children_spec": []}
        context = {
            "default_factory_module": f"attack_{Path(marker).name}",
            "default_factory_name": "list",
            "dict_context": ["y"],
        }
        tree = {"type": "collections.defaultdict", "context": context, "children_spec": [leaf]}
        signature["out_spec"] = json.dumps([1, tree])

    edit(members, MODEL, change)


@attack
def module_imported_by_a_key(members: Members, marker: str) -> None:
    def change(document: dict[str, Any]) -> None:
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        leaf = {"type": None, "context": None, "children_spec": []}
        key = {"__enum__": True, "fqn": f"attack_{Path(marker).name}:Key", "name": "A"}
        tree = {"type": "builtins.dict", "context": json.dumps([key]), "children_spec": [leaf]}
        signature["out_spec"] = json.dumps([1, tree])

    edit(members, MODEL, change)


@attempt
def operator_that_reads_a_file(members: Members, marker: str) -> None:
    del marker

    def change(document: dict[str, Any]) -> None:
        node = document["graph_module"]["graph"]["nodes"][0]
        node["target"] = "torch.ops.aten.from_file.default"

    edit(members, MODEL, change)


@attempt
def operator_of_another_library(members: Members, marker: str) -> None:
    del marker

    def change(document: dict[str, Any]) -> None:
        node = document["graph_module"]["graph"]["nodes"][0]
        node["target"] = "torch.ops.somebody.op.default"

    edit(members, MODEL, change)


@attempt
def compiled_code(members: Members, marker: str) -> None:
    members[f"{ROOT}/data/aotinductor/model/model.so"] = marker.encode()


@attempt
def pickle_after_the_pickle(members: Members, marker: str) -> None:
    members[SAMPLES] = tensor_file(
        pickle.dumps({}, protocol=2) + pickle.dumps(Evil(touch(marker)), protocol=2)
    )


@attempt
def torchscript_in_sample_inputs(members: Members, marker: str) -> None:
    members[SAMPLES] = pack({"a/data.pkl": b"\x80\x02}.", "a/constants.pkl": marker.encode()})


OPEN_BY_PYTORCH = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
for path in sys.argv[1:]:
    try:
        program = torch.export.load(path)
        args, kwargs = program.example_inputs
        program.module()(*args, **kwargs)
    except Exception as error:
        print(path, type(error).__name__, str(error)[-300:], file=sys.stderr)
"""


def write_attack(name: str, programs: Path, folder: Path) -> tuple[Path, Path]:
    """Write the attack's ``.pt2`` and return its path and that of the file it would make."""
    marker = folder / f"marker_{name}"
    members = read_members(programs / "plus.pt2")
    ATTACKS[name](members, str(marker))
    path = folder / f"{name}.pt2"
    path.write_bytes(pack(members))
    (folder / f"attack_{marker.name}.py").write_text(touch(str(marker)))
    return path, marker


def request(folder: Path) -> ImportRequest:
    scratch = folder / "scratch"
    scratch.mkdir()
    return ImportRequest(directory=scratch, limits=WorkerLimits(seconds=60))


@pytest.mark.parametrize("name", ATTACKS)
def test_refused_before_pytorch_sees_it(
    name: str, exported_programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path, marker = write_attack(name, exported_programs, tmp_path)
    with pytest.raises(InputError, match="would run code") as caught:
        PytorchFrontend().load(str(path), request(tmp_path))
    assert "--trust" in caught.value.hint
    facts = PytorchFrontend().inspect(str(path))
    assert facts["needs_trust"]
    assert not marker.exists()
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.slow
def test_the_attacks_are_real(exported_programs: Path, tmp_path: Path) -> None:
    names = [name for name in ATTACKS if name not in STOPPED_LATE]
    written = {name: write_attack(name, exported_programs, tmp_path) for name in names}
    done = subprocess.run(
        [sys.executable, "-c", OPEN_BY_PYTORCH, *(str(path) for path, _ in written.values())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    harmless = [name for name, (_, marker) in written.items() if not marker.exists()]
    assert harmless == [], done.stderr
