"""The worker's side of ``simplify``: onnxsim on a file that irconv wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import cast

import onnx

__all__ = ["SimplifyService"]

_MOST_RUNS = 8


class SimplifyService:
    """Hosted by :class:`irconv.worker.Worker`; onnxsim can crash or hang on a hostile model."""

    def simplify(self, source: str, destination: str, max_constant_bytes: int) -> None:
        """Simplify the model in ``source``, which holds all its weights, into ``destination``.

        onnxsim is given the model in memory and never a path: from a path it reads whatever
        file the model's external data names.

        onnxsim imports torch where it is installed, for features that are not used here;
        seconds and 300 MB are saved by hiding it in this process.

        It is run until it changes nothing, for shapes that it infers let it fold more.

        Args:
            source: Path of an ONNX file.
            destination: Path to write the result to.
            max_constant_bytes: Constants of more bytes than this are not folded.
        """
        sys.modules.setdefault("torch", cast("ModuleType", None))
        import onnxsim

        model = onnx.ModelProto.FromString(Path(source).read_bytes())
        threshold = f"{max(1, max_constant_bytes // 1024)}KB"
        for _ in range(_MOST_RUNS):
            before = model
            model, _ = onnxsim.simplify(
                model,
                include_subgraph=True,
                import_custom_schemas=False,
                certify=False,
                tensor_size_threshold=threshold,
            )
            if _parts(model) == _parts(before):
                break
        Path(destination).write_bytes(model.SerializeToString())


def _parts(model: onnx.ModelProto) -> tuple[list[bytes], list[str]]:
    """Return nodes and weights in no order: onnxsim turns constants round at every run."""
    nodes = sorted(node.SerializeToString() for node in model.graph.node)
    return nodes, sorted(f"{weight.name} {weight.dims}" for weight in model.graph.initializer)
