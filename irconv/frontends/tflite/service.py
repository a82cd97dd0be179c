"""LiteRT in a worker: it opens a judged file and gives the reference outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from irconv.frontends.tflite.runner import LitertRunner
from irconv.runtime.service import RunnerService

__all__ = ["TfliteService"]


class TfliteService(RunnerService):
    """Holds one TFLite model.

    Args:
        path: The file.
        signature: Name of the signature to run; None for the main graph.
        inputs: Name and tensor number of every input.
        outputs: Name and tensor number of every output.
    """

    def __init__(
        self,
        path: str,
        signature: str | None,
        inputs: Sequence[tuple[str, int]],
        outputs: Sequence[tuple[str, int]],
    ) -> None:
        super().__init__(LitertRunner(Path(path), signature, inputs, outputs))
