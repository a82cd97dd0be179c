"""Networks by PyTorch's exporter of programs, in its default opset."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from architectures.export import dynamic_shapes, widened
from architectures.registry import Network

from graphs import text, vision
from graphs.check import check_source

__all__ = ["write"]

_NETWORKS = {
    "bert": text.bert,
    "llama": text.llama,
    "vit": lambda: vision.vit("sdpa"),
    "convnext": vision.convnext,
}


def write(name: str, path: Path) -> None:
    """Write a network whose batch, sequence and past may vary.

    Raises:
        ValueError: If the file does not compute what the network does.
    """
    torch.manual_seed(0)
    network: Network = _NETWORKS[name]()
    network.module.eval()
    values = widened(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.module,
            values,
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamic_shapes=dynamic_shapes(network),
        )
    check_source(network, [tuple(network.inputs.values()), values], path)
