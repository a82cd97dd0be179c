"""Networks by PyTorch's exporter of traces, with nothing folded."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from architectures.export import widened
from architectures.registry import Network

from graphs import text, vision
from graphs.check import check_source

__all__ = ["write"]

_OPSET = 17
_NETWORKS = {
    "resnet50": vision.resnet50,
    "mobilenet-v2": vision.mobilenet_v2,
    "bert": text.bert,
    "vit": vision.vit,
    "swin": vision.swin,
    "convnext": vision.convnext,
    "t5-decoder": text.t5_decoder,
    "segformer": vision.segformer,
    "yolos": vision.yolos,
    "whisper-encoder": text.whisper_encoder,
    "lstm": text.lstm,
}


def write(name: str, path: Path) -> None:
    """Write a network whose batch, and sequence where it has one, may vary.

    Raises:
        ValueError: If the file does not compute what the network does.
    """
    torch.manual_seed(0)
    network: Network = _NETWORKS[name]()
    network.module.eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.module,
            tuple(network.inputs.values()),
            path,
            dynamo=False,
            do_constant_folding=False,
            opset_version=_OPSET,
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamic_axes={name: dict(axes) for name, axes in network.dims.items()},
        )
    check_source(network, [tuple(network.inputs.values()), widened(network)], path)
