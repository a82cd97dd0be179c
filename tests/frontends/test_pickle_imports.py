"""Reading what a pickle would import: complete where it can be, and never run."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from irconv.errors import InputError
from irconv.frontends.pickle_imports import imports_of_pickle


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


def scan(data: bytes):
    return imports_of_pickle(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_read_and_nothing_runs(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    payload = pickle.dumps([{"a": 1}, Evil(marker)], protocol=protocol)
    found = scan(payload)
    assert found.whole
    assert [name.rpartition(".")[2] for name in found.names][-1] == "exec"
    assert not marker.exists()
    pickle.loads(payload)
    assert marker.exists(), "the attack is real"


def test_names_from_the_memo_are_resolved() -> None:
    from collections import Counter, OrderedDict

    found = scan(pickle.dumps([OrderedDict(), Counter(), OrderedDict()], protocol=4))
    assert found.names == ("collections.OrderedDict", "collections.Counter")
    assert found.whole


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_a_file_of_joblib_is_searched_behind_its_arrays(compress, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    marker = tmp_path / "ran"
    path = tmp_path / "model.joblib"
    joblib.dump({"weights": np.arange(4096.0), "payload": Evil(marker)}, path, compress=compress)
    with path.open("rb") as file:
        found = imports_of_pickle(file)
    assert not found.whole
    assert "joblib.numpy_pickle.NumpyArrayWrapper" in found.names
    assert "builtins.exec" in found.names
    assert not marker.exists()


@pytest.mark.parametrize("data", [b"", b"nonsense, no pickle", b"x\x9cbroken", b"BZh9broken"])
def test_what_is_no_pickle(data: bytes) -> None:
    with pytest.raises(InputError, match=r"no (compressed )?pickle"):
        scan(data)
