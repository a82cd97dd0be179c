"""A runner whose runtime lives in a worker process."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from irconv.runtime.base import Feeds, Level, Runner, Value
from irconv.runtime.values import load_samples, save_samples
from irconv.worker import Worker

__all__ = ["RemoteRunner"]


class RemoteRunner(Runner):
    """Runs samples in a worker that hosts a :class:`irconv.runtime.service.RunnerService`.

    Args:
        worker: The worker, with something open in it.
        owns_worker: Whether closing this runner ends the worker.
    """

    def __init__(self, worker: Worker, *, owns_worker: bool = True) -> None:
        self._worker = worker
        self._owns_worker = owns_worker
        self._description: dict[str, Any] = worker.call("describe")
        self.level: Level = self._description.pop("level")
        self._directory = tempfile.TemporaryDirectory(prefix="irconv-run-")
        self._calls = 0

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Run one sample; see :meth:`irconv.runtime.base.Runner.run`."""
        return self.run_all([feeds])[0]

    def run_all(self, samples: Sequence[Feeds]) -> list[dict[str, Value]]:
        """Run several samples in one exchange with the worker."""
        self._calls += 1
        feeds = Path(self._directory.name, f"feeds-{self._calls}.npz")
        outputs = Path(self._directory.name, f"outputs-{self._calls}.npz")
        save_samples(feeds, samples)
        self._worker.call("run", feeds=str(feeds), outputs=str(outputs))
        results = load_samples(outputs)
        feeds.unlink()
        outputs.unlink()
        return results

    def time(self, feeds: Feeds, *, runs: int, warmup: int) -> list[float]:
        """Return wall seconds of ``runs`` runs inside the worker, after ``warmup`` runs."""
        path = Path(self._directory.name, "timed.npz")
        save_samples(path, [feeds])
        seconds: list[float] = self._worker.call("time", feeds=str(path), runs=runs, warmup=warmup)
        return seconds

    def describe(self) -> dict[str, str]:
        """Return what the runner in the worker says of itself."""
        return dict(self._description)

    @property
    def peak_rss_bytes(self) -> int:
        """The most memory that the worker was seen to hold."""
        return self._worker.peak_rss_bytes

    def close(self) -> None:
        """End the worker if it is owned, and remove the exchanged files."""
        if self._owns_worker:
            self._worker.close()
        self._directory.cleanup()
