"""Whatever happens in a worker, the main process lives, says so, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from irconv.errors import BackendError, InputError, UnsupportedError, UsageError
from irconv.worker import Worker, WorkerLimits

HERE = Path(__file__).parent
SERVICE = "worker_services:Plain"


@pytest.fixture(autouse=True)
def services(monkeypatch):
    """Let workers import the services; they must leave no process and no file behind."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    descriptors = psutil.Process().num_fds()
    yield
    after = {child.pid for child in psutil.Process().children(recursive=True)}
    assert after <= before
    assert psutil.Process().num_fds() <= descriptors


@pytest.fixture
def worker():
    with Worker(SERVICE, limits=WorkerLimits(seconds=60.0), label="test worker") as worker:
        yield worker


def gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_results_and_state(worker):
    assert worker.call("double", number=1.5) == 3.0
    assert worker.call("double", number=float("inf")) == float("inf")
    assert len(worker.call("text", size=1_000_000)) == 1_000_000
    assert worker.call("facts")["pid"] != os.getpid()
    assert worker.peak_rss_bytes > 1_000_000


def test_an_error_of_ours_crosses_whole(worker):
    with pytest.raises(UnsupportedError) as caught:
        worker.call("ours")
    assert caught.value.where == "here"
    assert caught.value.diagnostics[0].way_out == "out"
    assert worker.call("double", number=1) == 2


def test_a_foreign_exception_is_named_with_its_place(worker):
    with pytest.raises(BackendError, match=r"ZeroDivisionError: a defect") as caught:
        worker.call("foreign")
    assert "worker_services.py" in caught.value.where
    assert "in foreign" in caught.value.where
    assert any("Traceback" in line for line in worker.last_words())
    assert worker.call("double", number=1) == 2


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("no_such_method", {}, "AttributeError"),
        ("double", {"nope": 1}, "TypeError"),
        ("unserializable", {}, "not JSON serializable"),
        ("memory_error", {}, "ran out of memory"),
    ],
)
def test_other_failures_leave_the_worker_usable(worker, method, arguments, message):
    with pytest.raises(BackendError, match=message):
        worker.call(method, **arguments)
    assert worker.call("double", number=1) == 2


def test_a_segmentation_fault(worker):
    with pytest.raises(BackendError, match=r"crashed while it worked \(SIGSEGV\)") as caught:
        worker.call("segfault")
    text = str(caught.value)
    assert "| about to fall" in text
    assert "Segmentation fault" in text
    assert "test worker" in caught.value.where
    with pytest.raises(BackendError, match="before it could be asked"):
        worker.call("double", number=1)


def test_the_last_words_are_few(worker):
    with pytest.raises(BackendError, match="exit status 3") as caught:
        worker.call("exit", status=3)
    assert "| line 99" in str(caught.value)
    assert "| line 50" not in str(caught.value)


def test_a_flood_of_words_is_read_from_its_end(worker):
    with pytest.raises(BackendError) as caught:
        worker.call("flood")
    assert str(caught.value).count("| old") == 14
    assert "| new" in str(caught.value)


def test_an_exit_by_exception(worker):
    with pytest.raises(BackendError, match="exit status 1") as caught:
        worker.call("system_exit")
    assert "| goodbye" in str(caught.value)


def test_being_killed_reads_as_out_of_memory(worker):
    with pytest.raises(BackendError, match="most likely out of memory"):
        worker.call("kill_self", number=int(signal.SIGKILL))


def test_a_signal_without_a_name(worker):
    with pytest.raises(BackendError, match=f"signal {signal.SIGRTMIN + 1}"):
        worker.call("kill_self", number=int(signal.SIGRTMIN) + 1)


def test_a_hang_is_stopped_in_time():
    start = time.monotonic()
    with Worker(SERVICE, limits=WorkerLimits(seconds=2.0), label="hanging") as worker:
        worker.call("ignore_signals")
        with pytest.raises(BackendError, match=r"more than 2 s and was stopped") as caught:
            worker.call("sleep", seconds=600)
    assert "--timeout" in caught.value.hint
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("method", ["allocate", "allocate_in_child"])
def test_memory_over_the_limit_is_stopped(method):
    limits = WorkerLimits(seconds=60.0, memory_bytes=300 << 20)
    with (
        Worker(SERVICE, limits=limits, label="greedy") as worker,
        pytest.raises(BackendError, match=r"more than the 0.29 GiB it may") as caught,
    ):
        worker.call(method, mebibytes=1024)
    assert "--max-ram" in caught.value.hint
    assert worker.peak_rss_bytes > 300 << 20


@pytest.mark.parametrize("own_session", [False, True])
def test_children_of_the_worker_end_with_it(own_session):
    with Worker(SERVICE) as worker:
        child = worker.call("start_child", own_session=own_session)
        assert psutil.pid_exists(child)
    assert gone(child)


def test_children_of_a_crashed_worker_end_too(worker):
    child = worker.call("start_child", own_session=False)
    assert worker.alive
    with pytest.raises(BackendError):
        worker.call("exit", status=1)
    assert not worker.alive
    assert gone(child)


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    code = f"""
        from irconv.worker import Worker
        worker = Worker({SERVICE!r})
        print(worker.call("facts")["pid"], flush=True)
        worker.call("sleep", seconds=600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert gone(pid)


@pytest.mark.parametrize(
    ("fail", "error", "message"),
    [
        ("ours", UsageError, "not like this"),
        ("foreign", BackendError, "KeyError"),
        ("exit", BackendError, "exit status 7"),
    ],
)
def test_a_constructor_that_fails(fail, error, message):
    with pytest.raises(error, match=message):
        Worker(SERVICE, {"fail": fail})


@pytest.mark.parametrize("service", ["no_such_module:X", "worker_services:NoSuchClass"])
def test_a_service_that_is_not_there(service):
    with pytest.raises(BackendError, match=r"no_such_module|NoSuchClass"):
        Worker(service)


def test_closing_twice():
    worker = Worker(SERVICE)
    worker.close()
    worker.close()
    assert worker.last_words() == []


def test_the_working_directory_is_not_searched_for_modules(tmp_path, monkeypatch):
    (tmp_path / "onnx_ir.py").write_text("raise SystemExit('code from the working directory')")
    (tmp_path / "planted.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with Worker(SERVICE) as worker:
        assert worker.call("facts")["cwd"] == str(tmp_path)
        assert str(tmp_path) not in worker.call("facts")["path"]
        assert "site-packages" in worker.call("import_module", name="onnx_ir")
        with pytest.raises(BackendError, match="No module named 'planted'"):
            worker.call("import_module", name="planted")


@pytest.mark.parametrize("python", ["/no/such/python", str(HERE)])
def test_an_interpreter_that_cannot_be_started(python):
    with pytest.raises(InputError, match="cannot start the interpreter"):
        Worker(SERVICE, limits=WorkerLimits(python=python))


def test_an_interpreter_that_is_no_python():
    with pytest.raises(BackendError, match="exit status"):
        Worker(SERVICE, limits=WorkerLimits(python="/bin/false"))


@pytest.mark.slow
def test_the_interpreter_of_another_environment(tmp_path):
    """An empty environment sees this irconv, and none of the packages beside it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    python = str(tmp_path / "other" / "bin" / "python")
    with Worker(SERVICE, limits=WorkerLimits(python=python)) as worker:
        facts = worker.call("facts")
        assert facts["prefix"] == str(tmp_path / "other")
        assert Path(facts["irconv"]).resolve() == Path(sys.modules["irconv"].__file__).resolve()
        with pytest.raises(BackendError, match="No module named 'numpy'"):
            worker.call("import_module", name="numpy")
