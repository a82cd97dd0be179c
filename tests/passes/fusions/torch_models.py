"""Small modules as PyTorch's exporters write them: ``torch_models.py FOLDER`` writes ONNX files.

``NAME.legacy.onnx`` is by the TorchScript-based exporter at opset 17 (``old`` in the name: 16, in
which there is no LayerNormalization), ``NAME.dynamo.onnx`` by the newer one at opset 18.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class RmsNorm(nn.Module):
    """The norm of Llama; with ``plus_one`` that of Gemma."""

    def __init__(self, size, plus_one=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))
        self.plus_one = plus_one

    def forward(self, x):
        wide = x.to(torch.float32)
        unit = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        if self.plus_one:
            return (unit * (1.0 + self.weight.float())).type_as(x)
        return self.weight * unit.to(x.dtype)


def new_gelu(x):
    return 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3.0))))


def fast_gelu(x):
    return 0.5 * x * (1 + torch.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))


def plain_softmax(x):
    power = torch.exp(x - x.amax(-1, keepdim=True))
    return power / power.sum(-1, keepdim=True)


MODULES = {
    "layer_norm_old": (nn.LayerNorm(8), (2, 3, 8)),
    "layer_norm_two_axes_old": (nn.LayerNorm((3, 8)), (2, 3, 8)),
    "layer_norm_plain_old": (nn.LayerNorm(8, elementwise_affine=False), (2, 3, 8)),
    "rms_norm": (RmsNorm(8), (2, 3, 8)),
    "rms_norm_half": (RmsNorm(8).half(), (2, 3, 8)),
    "rms_norm_plus_one": (RmsNorm(8, plus_one=True), (2, 3, 8)),
    "group_norm": (nn.GroupNorm(2, 4), (2, 4, 5, 5)),
    "gelu": (nn.GELU(), (2, 8)),
    "gelu_tanh": (nn.GELU("tanh"), (2, 8)),
    "gelu_new": (Function(new_gelu), (2, 8)),
    "gelu_fast": (Function(fast_gelu), (2, 8)),
    "silu": (nn.SiLU(), (2, 8)),
    "quick_gelu": (Function(lambda x: x * torch.sigmoid(1.702 * x)), (2, 8)),
    "mish": (Function(lambda x: x * torch.tanh(functional.softplus(x))), (2, 8)),
    "hard_swish": (Function(lambda x: x * functional.relu6(x + 3) / 6), (2, 8)),
    "hard_sigmoid": (Function(lambda x: functional.relu6(x + 3) / 6), (2, 8)),
    "softmax": (Function(plain_softmax), (2, 8)),
    "log_softmax": (Function(lambda x: torch.log(torch.softmax(x, -1))), (2, 8)),
}


def main(folder: Path) -> None:
    torch.manual_seed(0)
    for name, (module, shape) in MODULES.items():
        module = module.eval()
        for parameter in module.parameters():
            parameter.data = torch.randn_like(parameter)
        half = name.endswith("half")
        x = torch.randn(shape, dtype=torch.float16 if half else torch.float32)
        opset = 16 if name.endswith("old") else 17
        torch.onnx.export(
            module, (x,), str(folder / f"{name}.legacy.onnx"), opset_version=opset, dynamo=False,
            input_names=["x"], dynamic_axes={"x": {0: "batch"}},
        )  # fmt: skip
        program = torch.onnx.export(
            module, (x,), dynamo=True, opset_version=18, verbose=False, input_names=["x"],
            dynamic_shapes=None if isinstance(module, Function) else ({0: "batch"},),
        )  # fmt: skip
        program.save(folder / f"{name}.dynamo.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
