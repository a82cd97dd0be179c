"""Modules whose TorchScript archives the frontend's tests import.

Run as a script it writes them: ``torchscript_models.py FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple  # noqa: UP035 - TorchScript reads these

import torch
from pytorch_models import Cnn
from torch import Tensor, nn


class Loop(nn.Module):
    """A loop whose count is an input."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x, count: int):
        for _ in range(count):
            x = torch.tanh(self.step(x)) + x
        return x


class Search(nn.Module):
    """A loop that ends by the data, then a branch by the data; the count is an output."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        steps = 0
        while bool(x.abs().sum() > 1.0):
            x = x * 0.5
            steps += 1
        return self.head(x) if bool(x.sum() > 0) else -x, steps


class Greedy(nn.Module):
    """A nested loop with a list that grows: the length of the output depends on the input."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x, steps: int):
        state = x
        states: List[Tensor] = []  # noqa: UP006
        for i in range(steps):
            if i % 2 == 0:
                for _ in range(i):
                    state = torch.relu(state)
            state = torch.tanh(self.cell(x + state))
            states.append(state)
        return torch.stack(states)


class Cells(nn.Module):
    """Every recurrent cell in a loop, with and without bias."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTMCell(4, 5)
        self.gru = nn.GRUCell(5, 6, bias=False)
        self.tanh = nn.RNNCell(4, 4)
        self.relu = nn.RNNCell(6, 3, nonlinearity="relu")

    def forward(self, x, steps: int):
        hidden, cell = torch.zeros(x.size(0), 5), torch.ones(x.size(0), 5)
        gated, rectified = torch.ones(x.size(0), 6), torch.ones(x.size(0), 3)
        for _ in range(steps):
            hidden, cell = self.lstm(x, (hidden, cell))
            x = self.tanh(x, x)
            gated = self.gru(hidden, gated)
            rectified = self.relu(gated, rectified)
        return hidden, cell, x, gated, rectified


class Point(NamedTuple):
    left: Tensor
    right: Tensor


class Shapes(nn.Module):
    """A list, an optional, a dictionary and numbers in; a dictionary of trees out."""

    def forward(
        self,
        parts: List[Tensor],  # noqa: UP006
        table: Dict[str, Tensor],  # noqa: UP006
        mask: Optional[Tensor] = None,  # noqa: UP045
        scale: float = 2.0,
    ) -> Dict[str, Tensor]:  # noqa: UP006
        total = (parts[0] - parts[1]) * scale + table["bias"]
        if mask is not None:
            total = total * mask
        return {"total": total, "first part": parts[0]}


class Plain(nn.Module):
    def forward(self, x):
        return torch.relu(x)


class Pair(nn.Module):
    def forward(self, x) -> Point:
        return Point(x + 1, x * 2)


class Rich(nn.Module):
    """An operator that the TorchScript exporter lacks and the newer one has."""

    def forward(self, x):
        return torch.fft.rfft(x, norm="ortho").abs() + 0.0


class Bessel(nn.Module):
    def forward(self, x):
        y = x + 1
        return torch.special.i0e(y)


class Counting(nn.Module):
    """Changes a buffer at every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls.add_(1)
        return x + self.calls


class Tree(nn.Module):
    """A traced call with a tuple, whose shapes the archive does not tell by argument."""

    def forward(self, x, pair: Tuple[Tensor, Tensor]):  # noqa: UP006
        return x @ pair[0] + pair[1]


def main(folder: Path) -> None:
    torch.manual_seed(3)
    image = torch.rand(2, 3, 8, 8)
    torch.jit.trace(Cnn().eval(), image).save(folder / "traced.pt")
    torch.jit.script(Cnn().train()).save(folder / "training.pt")
    torch.jit.freeze(torch.jit.script(Cnn().eval())).save(folder / "frozen.ts")
    noisy = torch.jit.trace(Cnn().train(), image, check_trace=False)
    noisy.save(folder / "traced_in_training.pt")
    brain, numbers = nn.Linear(8, 5).bfloat16(), torch.rand(2, 8).bfloat16()
    torch.jit.trace(brain.eval(), numbers).save(folder / "brain.pt")
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    torch.jit.script(encoder).save(folder / "encoder.pt")
    scripted = [Loop, Search, Greedy, Cells, Shapes, Plain, Pair, Rich, Bessel, Counting, Tree]
    for module in scripted:
        torch.jit.script(module().eval()).save(folder / f"{module.__name__.lower()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
