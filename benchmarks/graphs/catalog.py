"""The graphs by name, without importing any framework."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GRAPHS", "Graph"]


@dataclass(frozen=True)
class Graph:
    """A graph that can be generated.

    Attributes:
        name: Kebab-case name of the network and its exporter.
        origin: The module of this package that writes it, with ``-`` for ``_``.
        network: What that module is to write.
    """

    name: str
    origin: str
    network: str


_LEGACY = (
    "resnet50", "mobilenet-v2", "bert", "vit", "swin", "convnext", "t5-decoder", "segformer",
    "yolos", "whisper-encoder", "lstm",
)  # fmt: skip
_DYNAMO = ("bert", "llama", "vit", "convnext")
_KERAS = ("mobilenet-v3", "text-transformer")

GRAPHS: tuple[Graph, ...] = (
    *(Graph(f"{name}-legacy", "torch-legacy", name) for name in _LEGACY),
    *(Graph(f"{name}-dynamo", "torch-dynamo", name) for name in _DYNAMO),
    *(Graph(f"{name}-tf2onnx", "keras-tf2onnx", name) for name in _KERAS),
    Graph("synthetic-5000", "synthetic", "mixed"),
)
