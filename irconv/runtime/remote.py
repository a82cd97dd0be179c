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
    """Runs samples in a worker that hosts one of the services of :mod:`irconv.runtime.service`.

    Args:
        worker: The worker, with something open in it.
        session: Which of several open models; None where the service holds one only.
        owns_worker: Whether closing this runner ends the worker.
    """

    def __init__(
        self, worker: Worker, *, session: int | None = None, owns_worker: bool = True
    ) -> None:
        self._worker = worker
        self._owns_worker = owns_worker
        self._session: dict[str, int] = {} if session is None else {"session": session}
        self._description: dict[str, Any] = worker.call("describe", **self._session)
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
        self._worker.call("run", feeds=str(feeds), outputs=str(outputs), **self._session)
        results = load_samples(outputs)
        feeds.unlink()
        outputs.unlink()
        return results

    def time(self, feeds: Feeds, *, runs: int, warmup: int) -> list[float]:
        """Return wall seconds of ``runs`` runs inside the worker, after ``warmup`` runs."""
        path = Path(self._directory.name, "timed.npz")
        save_samples(path, [feeds])
        seconds: list[float] = self._worker.call(
            "time", feeds=str(path), runs=runs, warmup=warmup, **self._session
        )
        return seconds

    def describe(self) -> dict[str, str]:
        """Return what the runner in the worker says of itself."""
        return dict(self._description)

    @property
    def peak_rss_bytes(self) -> int:
        """The most memory that the worker was seen to hold."""
        return self._worker.peak_rss_bytes

    def close(self) -> None:
        """End the worker if it is owned, else its session; remove the exchanged files."""
        if self._owns_worker:
            self._worker.close()
        elif self._session and self._worker.alive:
            self._worker.call("release", **self._session)
            self._session = {}
        self._directory.cleanup()
