"""Hostile and broken TorchScript archives, and what is told of sound ones without PyTorch.

``test_the_attacks_are_real`` runs hostile archives in PyTorch itself and finds that they read
and write files, so the refusals are not of harmless files.
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
from irconv.frontends.choose import choose_frontend
from irconv.frontends.torchscript import TorchScriptFrontend
from irconv.frontends.torchscript.archive import read_script_archive
from irconv.frontends.torchscript.code_scan import dangers_of_code, parse_code
from irconv.plugins import load_registry
from irconv.worker import WorkerLimits

Members = dict[str, bytes]
CODE = "code/__torch__.py"


def read_members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def pack(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"module/{name}", content)
    return stream.getvalue()


def with_body(path: Path, body: str) -> bytes:
    """The archive of a module that returns ``torch.relu(x)`` with another body."""
    members = read_members(path)
    honest = b"    return torch.relu(x)\n"
    assert honest in members[CODE]
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    members[CODE] = members[CODE].replace(honest, lines.encode())
    return pack(members)


def judge(content: bytes, copy: Path | None = None) -> tuple[str, ...]:
    return read_script_archive(io.BytesIO(content), copy).dangers


ATTACKS = {
    "function": "return torch.from_file({read!r}, False, 4)",
    "alias": "f = torch.from_file\nreturn f({read!r}, False, 4)",
    "attribute by name": "return getattr(torch, 'from_file')({read!r}, False, 4)",
    "operator": "return ops.aten.from_file({read!r}, False, 4)",
    "operators by another name": "o = ops\nreturn o.aten.from_file({read!r}, False, 4)",
    "other module": "return torch.autograd.from_file({read!r}, False, 4)",
    "write": "torch.save(x, {write!r})\nreturn x",
}
"""Bodies that reach a file; the one read holds four floats."""

RUN = """
import sys, torch
for path in sys.argv[1:]:
    print(torch.jit.load(path)(torch.zeros(4)).tolist())
"""


@pytest.mark.parametrize("body", ATTACKS.values(), ids=ATTACKS.keys())
def test_code_that_reaches_a_file_is_refused(
    script_archives: Path, tmp_path: Path, body: str
) -> None:
    text = body.format(read="/etc/hostname", write="/nowhere")
    source = tmp_path / "hostile.pt"
    source.write_bytes(with_body(script_archives / "plain.pt", text))
    request = ImportRequest(tmp_path, WorkerLimits(1.0))
    with pytest.raises(InputError, match="could do more than compute") as caught:
        TorchScriptFrontend().load(str(source), request)
    assert f"{CODE}:" in caught.value.what
    assert "--trust" in caught.value.hint
    assert not (tmp_path / "module.pt").exists()
    facts = TorchScriptFrontend().inspect(str(source))
    assert facts["needs_trust"]
    assert "from_file" in facts["dangers"][-1] or "save" in facts["dangers"][-1]


@pytest.mark.slow
def test_the_attacks_are_real(script_archives: Path, tmp_path: Path) -> None:
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.write_bytes(b"A" * 16)
    sources = []
    for name, body in ATTACKS.items():
        sources.append(tmp_path / f"{name}.pt")
        text = body.format(read=str(secret), write=str(written))
        sources[-1].write_bytes(with_body(script_archives / "plain.pt", text))
    command = [sys.executable, "-W", "ignore", "-c", RUN, *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("[12.07") == len(ATTACKS) - 1
    assert written.exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ops.mylib.launch(x)", "custom operator mylib::launch"),
        ("ops.c10d.send(x)", "custom operator c10d::send"),
        ("ops.prim.rpc_sync(x)", "calls another machine"),
        ("getattr(ops.mylib, 'x')(x)", "another name"),
        ("getattr(x, name)", "computed name"),
        ("__torch__.torch.classes.lib.Socket(x)", "custom class 'lib.Socket'"),
        ("__torch__.elsewhere.f(x)", "unknown class"),
        ("torch.relu(x) # save", "not of the form"),
        ("torch.relu(x)\\\n", "not of the form"),
        ("torch.re\u017fu(x)", "not of the form"),
        ("f'{x}'", ""),
        ("(" * 500 + ")" * 500, "not of the form"),
    ],
)
def test_another_text_of_code(text: str, word: str) -> None:
    code = f"def f(x: Tensor) -> Tensor:\n  return {text}\n"
    found = dangers_of_code("code/m.py", code, parse_code(code), {"__torch__.m.f"})
    assert any(word in reason for reason in found) or not word


@pytest.mark.parametrize(
    "text",
    [
        "torch.relu(x)",
        "ops.prim.NumToTensor(3)",
        "ops.quantized.linear(x, self.p, 1., 0)",
        "getattr(self, '0').forward(x)",
        "__torch__.m.f(x)",
        "__torch__.torch.classes.quantized.LinearPackedParamsBase",
        "CONSTANTS.c0",
        "'# from_file and save, in a text'",
    ],
)
def test_a_text_of_code_of_the_exporter(text: str) -> None:
    code = f"def f(x: Tensor) -> Tensor:\n  return {text}\n"
    assert dangers_of_code("code/m.py", code, parse_code(code), {"__torch__.m.f"}) == []


class Evil:
    """Runs Python code when it is unpickled by Python."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit",)


def evil_pickle(members: Members) -> None:
    members["data.pkl"] = pickle.dumps(Evil(), protocol=2)


def strange_member(members: Members) -> None:
    members["lib/native.so"] = b""


def unknown_class(members: Members) -> None:
    members["data.pkl"] = (
        members["data.pkl"].replace(b" Plain", b" Evil").replace(b"\nPlain", b"\nEvil")
    )


def evil_debug_pickle(members: Members) -> None:
    members[f"{CODE}.debug_pkl"] = b"\x80\x02cos\nsystem\n."


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (evil_pickle, "exec"),
        (strange_member, "lib/native.so"),
        (unknown_class, "it imports __torch__"),
        (evil_debug_pickle, "os.system"),
    ],
)
def test_a_strange_member(
    script_archives: Path, tmp_path: Path, change: Callable[[Members], None], word: str
) -> None:
    members = read_members(script_archives / "plain.pt")
    assert judge(pack(members)) == ()
    change(members)
    copy = tmp_path / "copy.pt"
    assert any(word in danger for danger in judge(pack(members), copy))
    assert not copy.exists()


def shorter_weight(members: Members) -> None:
    members["data/0"] = members["data/0"][:-1]


def lost_weight(members: Members) -> None:
    del members["data/0"]


def negative_size(members: Members) -> None:
    at = members["data.pkl"].index(b"(K\x04K\x03K\x03K\x03t")
    members["data.pkl"] = (
        members["data.pkl"][:at]
        + b"(J\xff\xff\xff\xffK\x03K\x03K\x03t"
        + members["data.pkl"][at + 10 :]
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (shorter_weight, "by 432 bytes, but 431 are there"),
        (lost_weight, "but 0 are there"),
        (negative_size, "negative size"),
        (lambda members: members.pop("data.pkl"), "before PyTorch 1.4"),
        (lambda members: members.update({"data.pkl": b"\x80\x02N."}), "no module"),
        (lambda members: members.update({"data.pkl": b"\x80\x02c"}), "broken"),
    ],
)
def test_a_damaged_archive(
    script_archives: Path, change: Callable[[Members], None], word: str
) -> None:
    members = read_members(script_archives / "traced.pt")
    change(members)
    with pytest.raises(InputError, match=word):
        judge(pack(members))


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_truncated_archive_is_explained(
    script_archives: Path, tmp_path: Path, keep: float
) -> None:
    content = (script_archives / "traced.pt").read_bytes()
    for name in ("cut.ts", "cut.pt"):
        path = tmp_path / name
        path.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(InputError, match="zip archive, but none that PyTorch writes"):
            choose_frontend(load_registry(), str(path)).inspect(str(path))


def test_a_zip_bomb(script_archives: Path) -> None:
    members = read_members(script_archives / "plain.pt")
    members["data/0"] = bytes(64 << 20)
    with pytest.raises(InputError, match="would unpack"):
        judge(pack(members, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    ("name", "word"),
    [("plus.pt2", "an exported program"), ("weights.pt", "weights or a pickled object")],
)
def test_a_file_of_another_kind(exported_programs: Path, name: str, word: str) -> None:
    with pytest.raises(InputError, match=f"the file is {word}, not a TorchScript archive"):
        TorchScriptFrontend().inspect(str(exported_programs / name))


def test_the_content_decides_who_reads_a_file(
    script_archives: Path, exported_programs: Path, tmp_path: Path
) -> None:
    registry = load_registry()
    for source, frontend in (
        (script_archives / "traced.pt", "torchscript"),
        (script_archives / "frozen.ts", "torchscript"),
        (exported_programs / "plus.pt2", "pytorch"),
        (exported_programs / "weights.pt", "pytorch"),
    ):
        for name in ("model.pt", "model.pth", "model.bin"):
            path = tmp_path / name
            path.write_bytes(source.read_bytes())
            assert choose_frontend(registry, str(path)).name == frontend
    assert choose_frontend(registry, str(tmp_path / "absent.ts")).name == "torchscript"


def test_facts_need_no_pytorch(script_archives: Path) -> None:
    script = (
        "import sys, json; sys.modules['torch'] = None\n"
        "from irconv.frontends.torchscript import TorchScriptFrontend\n"
        "print(json.dumps([TorchScriptFrontend().inspect(path) for path in sys.argv[1:]]))\n"
        "assert 'onnx_ir' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    names = ("traced.pt", "shapes.pt", "frozen.ts")
    command = [sys.executable, "-c", script, *(str(script_archives / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    traced, scripted, frozen = json.loads(done.stdout)
    assert traced["what"] == "a traced module"
    assert traced["inputs"] == [
        {"name": "x", "type": "Tensor", "traced_dtype": "float32", "traced_shape": [2, 3, 8, 8]}
    ]
    assert (traced["parameters"], traced["parameter_bytes"]) == (154, 620)
    assert traced["operators"]["aten::batch_norm"] == 1
    assert not traced["needs_trust"]
    assert [argument["type"] for argument in scripted["inputs"]] == [
        "List[Tensor]", "Dict[str, Tensor]", "Optional[Tensor]", "float",
    ]  # fmt: skip
    assert scripted["returns"] == "Dict[str, Tensor]"
    (plan,) = [note for note in scripted["notes"] if "--input" in note]
    assert "--input 'parts_0[" in plan
    assert "--input 'table_KEY[" in plan
    assert frozen["what"] == "a scripted or frozen module"
    assert frozen["dtypes"] == {"float32": 137}


def test_the_copy_holds_the_judged_members(script_archives: Path, tmp_path: Path) -> None:
    members = read_members(script_archives / "traced.pt")
    copy = tmp_path / "copy.pt"
    found = read_script_archive(io.BytesIO(pack(members | {"extra/notes.txt": b"hi"})), copy)
    assert found.notes == ("1 extra files of the archive were left out",)
    assert read_members(copy) == members
