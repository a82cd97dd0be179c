"""Broken and odd archives, what is read without PyTorch, and the copy that is handed on."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from irconv.errors import InputError
from irconv.frontends.pytorch import PytorchFrontend
from irconv.frontends.pytorch.archive import read_program_archive
from irconv.frontends.pytorch.program import dangers_of_program
from irconv.frontends.torch_files.pickle_scan import dangers_of_pickle


def refusal(content: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        read_program_archive(io.BytesIO(content))
    assert caught.value.hint or caught.value.where
    return caught.value


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return stream.getvalue()


def test_text_is_no_archive() -> None:
    assert "no whole zip archive" in refusal(b"this is no model").what


def test_an_empty_file_is_no_archive() -> None:
    assert "no whole zip archive" in refusal(b"").what


def test_an_archive_behind_other_bytes(exported_programs: Path) -> None:
    content = (exported_programs / "plus.pt2").read_bytes()
    assert "before its first member" in refusal(b"#!/bin/sh\n" + content).what


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(exported_programs: Path, keep: float) -> None:
    content = (exported_programs / "plus.pt2").read_bytes()
    assert "no whole zip archive" in refusal(content[: int(len(content) * keep)]).what


def test_a_flipped_byte_in_a_weight(exported_programs: Path, tmp_path: Path) -> None:
    source = exported_programs / "plus.pt2"
    content = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as read:
        member = next(m for m in read.infolist() if m.filename.endswith("weights/weight_0"))
        with read.open(member) as stream:
            data = stream.read()
    content[content.index(data)] ^= 1
    with pytest.raises(InputError, match="no whole zip archive"):
        read_program_archive(io.BytesIO(bytes(content)), tmp_path / "copy.pt2")


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/etc/out", "a//b", "C:/out", "a\\b", "a/b\x1b[2J"]
)
def test_a_member_that_leaves_the_archive(name: str) -> None:
    found = refusal(archive({"p/archive_format": b"pt2", name: b"x"}))
    assert "leaves the archive" in found.what or "read differently" in found.what
    assert "\x1b" not in str(found)


def test_the_same_member_twice_but_for_case() -> None:
    found = refusal(archive({"p/models/model.json": b"{}", "p/models/MODEL.json": b"{}"}))
    assert "two members" in found.what


def test_a_zip_bomb() -> None:
    bomb = archive({"p/models/model.json": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)
    assert "would unpack" in refusal(bomb).what


def test_an_encrypted_member() -> None:
    content = bytearray(archive({"p/archive_format": b"pt2"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refusal(bytes(content)).what


def test_overlapping_members() -> None:
    content = bytearray(archive({"p/a": bytes(5000), "p/b": bytes(5000), "p/c": b""}))
    for at in range(len(content) - 4):
        if content[at : at + 4] == b"PK\x01\x02":
            content[at + 20 : at + 28] = (9000).to_bytes(4, "little") * 2
    assert "overlap" in refusal(bytes(content)).what


def test_members_without_a_common_folder() -> None:
    assert "one top folder" in refusal(archive({"a/x": b"", "b/y": b""})).what


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"p/models/other.json": b"{}", "p/archive_format": b"pt2"}, "models other"),
        ({"p/data/aotinductor/m/m.so": b""}, "AOTInductor"),
        ({"p/constants.pkl": b"", "p/data.pkl": b""}, "TorchScript"),
        ({"p/data.pkl": b""}, "weights or a pickled object"),
        ({"p/hello": b""}, "no exported program"),
        (
            {"p/models/model.json": b"{}", "p/archive_format": b"xyz", "p/archive_version": b"0"},
            "xyz",
        ),
        (
            {"p/models/model.json": b"{}", "p/archive_format": b"pt2", "p/archive_version": b"7"},
            "'7'",
        ),
        ({"p/models/model.json": b"{}", "p/archive_format": b"pt2"}, "archive_version"),
        (
            {"p/models/model.json": b"{", "p/archive_format": b"pt2", "p/archive_version": b"0"},
            "JSON",
        ),
        (
            {"p/models/model.json": b"[]", "p/archive_format": b"pt2", "p/archive_version": b"0"},
            "form",
        ),
    ],
)
def test_an_archive_of_another_kind(members: dict[str, bytes], word: str) -> None:
    assert word in refusal(archive(members)).what


def test_the_layout_before_pytorch_2_8() -> None:
    old = archive({"version": b"8.9", "serialized_exported_program.json": b"{}"})
    assert "one top folder" in refusal(old).what


def test_json_nested_too_deeply() -> None:
    deep = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
    members = {"p/models/model.json": deep, "p/archive_format": b"pt2", "p/archive_version": b"0"}
    assert "too deeply" in refusal(archive(members)).what


def with_weight(path: Path, change: dict[str, Any]) -> bytes:
    with zipfile.ZipFile(path) as read:
        members = {name: read.read(name) for name in read.namelist()}
    config = next(name for name in members if name.endswith("model_weights_config.json"))
    document = json.loads(members[config])
    next(iter(document["config"].values()))["tensor_meta"] |= change
    return archive(members | {config: json.dumps(document).encode()})


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [{"as_int": 1 << 40}, {"as_int": 4}]},
        {"strides": [{"as_int": 1 << 40}, {"as_int": 1}]},
        {"storage_offset": {"as_int": 1 << 20}},
        {"storage_offset": {"as_int": -1}},
        {"sizes": [{"as_int": -3}, {"as_int": 4}]},
        {"sizes": [{"as_int": 3}]},
        {"dtype": 99},
    ],
)
def test_a_weight_larger_than_its_bytes(exported_programs: Path, change: dict[str, Any]) -> None:
    found = refusal(with_weight(exported_programs / "plus.pt2", change))
    assert "describes weight" in found.what


def test_facts_need_no_pytorch(exported_programs: Path) -> None:
    script = (
        "import sys, json; sys.modules['torch'] = None\n"
        "from irconv.frontends.pytorch import PytorchFrontend\n"
        "print(json.dumps(PytorchFrontend().inspect(sys.argv[1])))\n"
        "assert 'onnx_ir' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(exported_programs / "words.pt2")],
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(done.stdout)
    dims = ["ids_dim_0", "ids_dim_1"]
    assert facts["inputs"] == [
        {"name": "ids", "dtype": "int64", "shape": dims},
        {"name": "mask", "dtype": "float32", "shape": dims},
    ]
    assert [output["name"] for output in facts["outputs"]] == [
        "logits", "parts_0", "parts_1", "ids_out",
    ]  # fmt: skip
    assert facts["ranges"] == {"ids_dim_0": [1, 8], "ids_dim_1": [2, 16]}
    assert (facts["parameters"], facts["parameter_bytes"]) == (187, 748)
    assert facts["pickles"] == ["data/sample_inputs/model.pt"]
    assert not facts["needs_trust"]


def test_a_factory_is_not_looked_into() -> None:
    facts = PytorchFrontend().inspect("nowhere.at_all:factory")
    assert facts["needs_trust"]


def test_the_copy_holds_the_judged_members_and_no_extra_file(
    exported_programs: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(exported_programs / "plus.pt2") as read:
        members = {f"x/{name.partition('/')[2]}": read.read(name) for name in read.namelist()}
    stream = io.BytesIO(archive(members | {"x/extra/notes.txt": b"hello"}, zipfile.ZIP_DEFLATED))
    copy = tmp_path / "copy.pt2"
    found = read_program_archive(stream, copy)
    assert found.dangers == ()
    assert found.notes == ("1 extra files of the archive were left out",)
    with zipfile.ZipFile(copy) as read:
        copied = {name.partition("/")[2]: read.read(name) for name in read.namelist()}
    plain = {name.partition("/")[2]: content for name, content in members.items()}
    samples = "data/sample_inputs/model.pt"
    assert copied.keys() == plain.keys()
    assert {k: v for k, v in copied.items() if k != samples} == {
        k: v for k, v in plain.items() if k != samples
    }


@pytest.mark.parametrize(
    ("pickle", "word"),
    [
        (b"\x80\x02cos\nsystem\n.", "os.system"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x02ctorch.hub\nload\n.", "torch.hub.load"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "STACK_GLOBAL"),
        (b"(ios\nsystem\n.", "INST"),
        (b"(cos\nsystem\no.", "os.system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02}.\x80\x02}.", "bytes follow"),
        (b"\x80\x02cos\nsystem\ntruncated", "os.system"),
    ],
)
def test_a_pickle_that_runs_code(pickle: bytes, word: str) -> None:
    assert any(word in danger for danger in dangers_of_pickle(pickle))


def test_a_pickle_of_tensors() -> None:
    pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nccollections\nOrderedDict\n)R."
    assert dangers_of_pickle(pickle) == []


def test_a_broken_pickle() -> None:
    with pytest.raises(InputError, match="broken"):
        dangers_of_pickle(b"\x80\x02X\xff\xff\xff\x7f")


@pytest.mark.parametrize(
    "text",
    [
        "FloorDiv(Add(Symbol('s27', positive=True, integer=True), Integer(-3)), Integer(2))",
        "TruncToInt(Mul(Float('1.5', precision=53), ToFloat(Symbol('s2', integer=True))))",
        "2*s0 + 1",
        "StrictLessThan(Symbol('u0', integer=True), Integer(6))",
    ],
)
def test_a_shape_expression_of_the_exporter(text: str) -> None:
    assert dangers_of_program({"expr_str": text}) == []


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "Symbol('a').func.__globals__",
        "Symbol('__import__(1)')",
        "[Integer(1)][0]",
        "lambda: 1",
        "lambdify(Symbol('x'), 1)",
        "Symbol(**{})",
        "eval",
        "(" * 3000,
        "s0 if s0 else s1",
        "f'{s0}'",
        "s0\n+1",
        "",
    ],
)
def test_another_shape_expression(text: str) -> None:
    assert dangers_of_program({"deep": [{"expr_str": text}]})


@pytest.mark.parametrize(
    "guard",
    [
        "L['ids'].size()[1] == L['mask'].size()[1]",
        "1 + (((-3) + L['x'].size()[1]) // 2) >= 1",
        "L['x'].size()[1] != max(1, L['x'].size()[1] // 2)",
        "L['args'][0].storage_offset() == 0",
    ],
)
def test_a_guard_of_the_exporter(guard: str) -> None:
    assert dangers_of_program({"guards_code": [guard]}) == []


@pytest.mark.parametrize(
    "guard",
    [
        "__import__('os')",
        "L['x'].__class__",
        "L['x'].size.__func__()",
        "L.clear()",
        "open('x')",
        "L['x'].size(key=1)",
        "[1][0] == 1",
        "L['{x}'] == 1",
        'L["x"] == 1',
        "1 == 1 # comment",
        7,
    ],
)
def test_another_guard(guard: object) -> None:
    assert dangers_of_program({"guards_code": [guard]})


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.linear.default",
        "torch.ops.aten.__and__.Tensor",
        "torch.ops.higher_order.cond",
        "_operator.floordiv",
        "torch.sym_max",
        "math.trunc",
    ],
)
def test_an_operator_of_the_exporter(target: str) -> None:
    assert dangers_of_program({"target": target}) == []


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.hub.load",
        "torch.ops.load_library",
        "torch.ops.aten.__class__.mro",
        "torch.ops.aten.save.default",
        "torch.ops.aten.linear.__call__",
        "torch.ops.higher_order.triton_kernel_wrapper_functional",
        "_operator.attrgetter",
        "#extension:op",
        "torch.sym_max.__globals__",
    ],
)
def test_another_operator(target: str) -> None:
    assert dangers_of_program({"target": target})
