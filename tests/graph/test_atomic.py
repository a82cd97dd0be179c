from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irconv.errors import InputError
from irconv.graph import atomic
from irconv.graph.atomic import publish_directory, publish_files, staging_directory


def _leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".irconv-")]


def _bundle(staging: Path, text: str) -> None:
    (staging / "manifest.json").write_text("{}")
    (staging / "deep").mkdir()
    (staging / "deep" / "content").write_text(text)


def test_a_directory_appears_whole_and_nothing_is_left(tmp_path: Path) -> None:
    final = tmp_path / "out" / "onnx"
    with staging_directory(final) as staging:
        assert staging.parent == final.parent
        _bundle(staging, "one")
        assert not final.exists()
        publish_directory(staging, final)
    assert (final / "deep" / "content").read_text() == "one"
    assert _leftovers(final.parent) == []


@pytest.mark.parametrize("exchange", [True, False])
def test_an_earlier_directory_is_swapped_out(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    final = tmp_path / "onnx"
    for text in ("one", "two"):
        with staging_directory(final) as staging:
            _bundle(staging, text)
            (staging / text).touch()
            publish_directory(staging, final)
    assert (final / "deep" / "content").read_text() == "two"
    assert not (final / "one").exists()
    assert _leftovers(tmp_path) == []


def test_a_folder_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    final = tmp_path / "mine"
    final.mkdir()
    (final / "thesis.txt").write_text("precious")
    with staging_directory(final) as staging:
        _bundle(staging, "new")
        with pytest.raises(InputError, match="was not written by irconv") as caught:
            publish_directory(staging, final)
    assert caught.value.hint
    assert (final / "thesis.txt").read_text() == "precious"
    assert _leftovers(tmp_path) == []


def test_failure_leaves_nothing_and_removes_the_folders_it_made(tmp_path: Path) -> None:
    with (
        contextlib.suppress(ZeroDivisionError),
        staging_directory(tmp_path / "a" / "b" / "out") as staging,
    ):
        (staging / "half").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_files_are_published_together(tmp_path: Path) -> None:
    main, data = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    for text in ("one", "two"):
        with staging_directory(main) as staging:
            (staging / "m").write_text(text)
            (staging / "d").write_text(text)
            publish_files([(staging / "d", data), (staging / "m", main)])
    assert (main.read_text(), data.read_text()) == ("two", "two")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]


def test_a_failed_publication_puts_the_old_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, data = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    main.write_text("old")
    data.write_text("old")
    rename = Path.rename

    def fail_at_main(self: Path, target: Path) -> Path:
        if self.name == "m" and target == main:
            raise OSError(errno.EIO, "input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_at_main)
    with staging_directory(main) as staging:
        (staging / "m").write_text("new")
        (staging / "d").write_text("new")
        with pytest.raises(InputError, match="cannot write"):
            publish_files([(staging / "d", data), (staging / "m", main)])
    assert (main.read_text(), data.read_text()) == ("old", "old")
    assert _leftovers(tmp_path) == []


def test_unwritable_outputs_are_clear_errors(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="cannot write") as caught, staging_directory(file / "out"):
        pytest.fail("no staging directory can be there")
    assert caught.value.hint
    with (
        pytest.raises(InputError, match="is a file"),
        staging_directory(file) as staging,
    ):
        publish_directory(staging, file)
    with staging_directory(file) as staging:
        (staging / "new").write_text("x")
        with pytest.raises(InputError, match="is a directory"):
            publish_files([(staging / "new", tmp_path)])
    with pytest.raises(InputError, match="cannot write"), staging_directory(Path("/proc/out")):
        pytest.fail("no staging directory can be there")


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from irconv.errors import InputError
from irconv.graph.atomic import staging_directory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    with staging_directory(Path(sys.argv[1])) as staging:
        (staging / "big").write_bytes(bytes(1 << 20))
except InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "not enough space" in done.stdout
    assert "next: " in done.stdout
    assert list(tmp_path.iterdir()) == []


_HOLDER = """
import sys, time
from pathlib import Path
from irconv.graph.atomic import staging_directory
with staging_directory(Path(sys.argv[1])) as staging:
    (staging / "half").write_text("half")
    print(staging, flush=True)
    time.sleep(60)
"""


def test_leftovers_of_dead_processes_are_swept_and_those_of_live_ones_kept(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        left = Path(process.stdout.readline().strip())
        with staging_directory(tmp_path / "other"):
            assert (left / "half").exists()
        os.kill(process.pid, signal.SIGKILL)
    for _ in range(100):
        with staging_directory(tmp_path / "other"):
            pass
        if not left.exists():
            break
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_swap_is_undone(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    old = tmp_path / f".irconv-old-{process.pid}-onnx"
    old.mkdir()
    (old / "manifest.json").write_text("{}")
    with staging_directory(tmp_path / "tflite"):
        pass
    assert (tmp_path / "onnx" / "manifest.json").exists()
