"""Small modules and factories that the PyTorch frontend's tests load by name.

Run as a script it writes exported programs: ``pytorch_models.py FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import nn
from torch.export import Dim


class Cnn(nn.Module):
    """Convolution, batch normalization and dropout: wrong outputs in training mode."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)
        with torch.no_grad():
            self.norm.running_mean.uniform_(-1, 1)
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.conv(x)))).mean((2, 3)))


class Words(nn.Module):
    """Integer input, keyword argument, dynamic sequence, dictionary of nested outputs."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, ids, *, mask):
        hidden = self.embed(ids) * mask[..., None]
        return {"logits": self.head(hidden.mean(1)), "parts": (hidden, ids.sum(1)), "ids": ids}


class Twice(nn.Module):
    """The same tensor twice, and the input itself, among the outputs."""

    def forward(self, x):
        y = x * 2
        return y, y, x


class Plus(nn.Module):
    """A parameter, a buffer and a lifted constant."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x):
        return self.linear(x) + self.shift * torch.tensor([1.0, 2.0, 3.0])


class Wide(Plus):
    """Weights of the names of its base, but not of the shapes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 5)


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x + 1
        return x


class Bessel(nn.Module):
    def forward(self, x):
        y = x + 1
        return torch.special.i0e(y)


class Positions(nn.Module):
    """Takes sequences of at most 16."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.rand(16))

    def forward(self, x):
        return x + self.table[: x.shape[1]]


@torch.library.custom_op("irconv_tests::twist", mutates_args=())
def twist(x: torch.Tensor) -> torch.Tensor:
    return x.flip(0) * 2


@twist.register_fake
def _(x):
    return torch.empty_like(x)


class Custom(nn.Module):
    def forward(self, x):
        return twist(x + 1)


class Restless(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5)


class Counting(nn.Module):
    """Changes a buffer at every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls.add_(1)
        return x + self.calls


def cnn():
    return Cnn()


def words():
    ids = torch.randint(0, 20, (1, 6))
    return Words(), (ids,), {"mask": torch.rand(1, 6)}


class Mixed(nn.Module):
    def __init__(self, with_number):
        super().__init__()
        self.with_number = with_number

    def forward(self, input, scale=2.0):
        outputs = {"input": input * scale, "none": None, "more words": [input + 1]}
        return outputs | {"number": 3} if self.with_number else outputs


def mixed():
    return Mixed(False), (torch.rand(2, 3),)


def numbers():
    return Mixed(True), (torch.rand(2, 3),)


def twice():
    return Twice(), torch.rand(2, 3)


def counting():
    return Counting(), (torch.rand(2),)


def branching():
    return Branching(), (torch.rand(2, 2),)


def bessel():
    return Bessel(), (torch.rand(2, 2),)


def positions():
    return Positions(), (torch.rand(2, 6),)


def custom():
    return Custom(), (torch.rand(2, 6),)


def restless():
    return Restless(), (torch.rand(2, 2),)


def raises():
    raise RuntimeError("no weights today")


def number():
    return 7


NOTHING = None


def main(folder: Path) -> None:
    batch, length = Dim("batch", min=1, max=8), Dim("length", min=2, max=16)
    plus = torch.export.export(Plus().eval(), (torch.rand(3, 4),), dynamic_shapes={"x": {0: batch}})
    torch.export.save(plus, folder / "plus.pt2")
    words = torch.export.export(
        Words().eval(),
        (torch.randint(0, 20, (3, 6)),),
        {"mask": torch.rand(3, 6)},
        dynamic_shapes={"ids": {0: batch, 1: length}, "mask": {0: batch, 1: length}},
    )
    torch.export.save(words, folder / "words.pt2")
    training = torch.export.export(Cnn().train(), (torch.rand(2, 3, 8, 8),))
    torch.export.save(training, folder / "training.pt2")
    write_weights(sys.modules["pytorch_models"].Plus(), folder)


def write_weights(module: nn.Module, folder: Path) -> None:
    """Write the weights of a module in every form."""
    state = module.state_dict()
    torch.save(state, folder / "weights.pt")
    safetensors.torch.save_file(state, folder / "weights.safetensors")
    torch.save({"model": state, "epoch": 3}, folder / "checkpoint.pth")
    torch.save({name: tensor.half() for name, tensor in state.items()}, folder / "half.pt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save([torch.ones(3)], folder / "tensor.pt")
    torch.save(module, folder / "module.pt")


if __name__ == "__main__":
    import pytorch_models  # noqa: F401 - what is pickled must be importable by its module's name

    main(Path(sys.argv[1]))
