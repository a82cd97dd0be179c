"""The ONNX frontend: any model that ONNX Runtime reads, from one file or with external data."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from irconv.backends.base import Availability
from irconv.frontends.base import Frontend, Imported, ImportRequest, SourceInfo

__all__ = ["OnnxFrontend"]


@dataclass(frozen=True)
class OnnxFrontend(Frontend):
    """Frontend ``onnx``.

    The reference is the source as it stands, run by ONNX Runtime with its graph optimizations
    off. With them off, each node runs by its own kernel, which is the closest to what the ONNX
    specification says of the graph; with them on, fused and approximated kernels would already
    be part of the yardstick, and their deviations would be charged to the artifact.
    """

    name: ClassVar[str] = "onnx"
    summary: ClassVar[str] = "ONNX models, with or without external data"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def recognizes(self, source: str) -> bool:
        """Say yes to a path that ends in ``.onnx``, or to a file that starts like one."""
        from irconv.graph.reading.model_file import looks_like_onnx

        path = Path(source)
        return path.suffix.lower() in self.suffixes or looks_like_onnx(path)

    def available(self) -> Availability:
        """ONNX is a dependency of the core."""
        return Availability(True, f"onnx {importlib.metadata.version('onnx')}")

    def inspect(self, source: str) -> dict[str, Any]:
        """Return facts about the model; its weights are not read."""
        from irconv.graph.interface import input_specs, output_specs
        from irconv.graph.reading.load import load_model
        from irconv.graph.serialize import weight_bytes
        from irconv.graph.walk import all_graphs, all_nodes, node_count

        loaded = load_model(Path(source))
        model = loaded.model
        operators = Counter(
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for node in all_nodes(model)
        )
        tensors = {
            id(value.const_value): value.const_value
            for graph in all_graphs(model)
            for value in graph.initializers.values()
            if value.const_value is not None
        }
        return {
            "frontend": self.name,
            "ir_version": model.ir_version,
            "opsets": dict(model.opset_imports),
            "producer": " ".join(filter(None, (model.producer_name, model.producer_version))),
            "inputs": [spec.to_json() for spec in input_specs(model)],
            "outputs": [spec.to_json() for spec in output_specs(model)],
            "nodes": node_count(model),
            "operators": dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
            "functions": ["::".join(identity[:2]) for identity in model.functions],
            "parameters": sum(tensor.size for tensor in tensors.values()),
            "parameter_bytes": weight_bytes(model),
            "bytes": loaded.bytes,
            "files": [path.name for path in loaded.files],
            "metadata": dict(model.metadata_props),
            "notes": list(loaded.notes),
        }

    def load(self, source: str, request: ImportRequest) -> Imported:
        """Load the model; see :meth:`irconv.frontends.base.Frontend.load`."""
        from irconv.graph.reading.load import load_model, source_digest
        from irconv.runtime.reference import open_reference

        loaded = load_model(Path(source))
        reference = loaded.model.clone()
        return Imported(
            model=loaded.model,
            source=SourceInfo(
                frontend=str(self),
                sha256=source_digest(loaded.files),
                bytes=loaded.bytes,
                opset=loaded.opset,
                notes=loaded.notes,
            ),
            open_reference=partial(
                open_reference, reference, limits=request.limits, optimize=False
            ),
        )
