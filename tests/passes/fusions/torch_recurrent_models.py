"""Loops over cells as PyTorch's exporters write them: ``torch_recurrent_models.py FOLDER``.

``KIND_FORM.legacy.onnx`` is by the TorchScript-based exporter, ``KIND_FORM.dynamo.onnx`` by the
newer one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

STEPS = 4
FORMS = ("time", "batch", "zero", "reversed", "tail", "last", "layers", "plain")


class Loop(nn.Module):
    """A cell over a sequence, in a loop that the exporters unroll."""

    def __init__(self, kind, form):
        super().__init__()
        self.first = getattr(nn, f"{kind}Cell")(3, 5, bias=form != "plain")
        self.second = getattr(nn, f"{kind}Cell")(5, 5)
        self.is_lstm, self.form = kind == "LSTM", form

    def step(self, cell, x, state):
        if self.is_lstm:
            return cell(x, state)
        return (cell(x, state[0]),)

    def forward(self, x, *state):
        if self.form == "zero":
            state = tuple(torch.zeros_like(part) for part in state)
        upper = state
        axis = 1 if self.form in ("batch", "zero") else 0
        order = list(range(1 if self.form == "tail" else 0, STEPS))
        if self.form == "reversed":
            order.reverse()
        outputs = {}
        for t in order:
            state = self.step(self.first, x.select(axis, t), state)
            if self.form == "layers":
                upper = self.step(self.second, state[0], upper)
            outputs[t] = upper[0] if self.form == "layers" else state[0]
        if self.form == "last":
            return state[0]
        return (torch.stack([outputs[t] for t in sorted(outputs)], axis), *state)


def main(folder: Path) -> None:
    torch.manual_seed(0)
    for kind in ("LSTM", "GRU"):
        for form in FORMS:
            model = Loop(kind, form).eval()
            rows = 2
            batch_first = form in ("batch", "zero")
            x = torch.randn((rows, STEPS, 3) if batch_first else (STEPS, rows, 3))
            state = tuple(torch.randn(rows, 5) for _ in range(2 if kind == "LSTM" else 1))
            names = ["x", "h", "c"][: 1 + len(state)]
            axes = {name: {0: "rows"} for name in names[1:]}
            axes["x"] = {0 if batch_first else 1: "rows"}
            torch.onnx.export(
                model, (x, *state), str(folder / f"{kind}_{form}.legacy.onnx"), opset_version=17,
                dynamo=False, input_names=names, dynamic_axes=axes,
            )  # fmt: skip
            program = torch.onnx.export(
                model, (x, *state), dynamo=True, opset_version=18, verbose=False,
                input_names=names,
            )  # fmt: skip
            program.save(folder / f"{kind}_{form}.dynamo.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
