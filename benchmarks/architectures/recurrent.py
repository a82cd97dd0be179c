"""Recurrent networks, and small networks for series and tables."""

from __future__ import annotations

import torch
from torch import nn

from architectures.registry import Network, architecture
from architectures.weights import randomize
from architectures.wrap import TEXT, VOCABULARY, ids


class _Tagger(nn.Module):
    """One label a token."""

    def __init__(self, cell: type[nn.Module], *, layers: int = 1, both_ways: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 32)
        self.cell = cell(32, 24, layers, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(48 if both_ways else 24, 7)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states, _ = self.cell(self.embedding(tokens))
        return self.head(states)


def _tagger(module: nn.Module) -> Network:
    inputs = {"tokens": ids(1, 12)}
    dims = {"tokens": TEXT}
    return Network(randomize(module, *inputs.values()), inputs, ("labels",), dims)


@architecture("lstm-tagger")
def lstm_tagger() -> Network:
    """A tagger by an LSTM of two layers."""
    return _tagger(_Tagger(nn.LSTM, layers=2))


@architecture("bilstm-tagger")
def bilstm_tagger() -> Network:
    """A tagger by an LSTM that reads both ways."""
    return _tagger(_Tagger(nn.LSTM, both_ways=True))


@architecture("gru-tagger")
def gru_tagger() -> Network:
    """A tagger by a GRU."""
    return _tagger(_Tagger(nn.GRU))


class _ConvolutionalRecurrent(nn.Module):
    """Reads a line of text: convolutions over the image, an LSTM along it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.Hardswish(), nn.MaxPool2d((4, 1)),
        )  # fmt: skip
        self.cell = nn.LSTM(32, 24, bidirectional=True)
        self.head = nn.Linear(48, 11)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.body(x).flatten(1, 2).permute(2, 0, 1)
        states, _ = self.cell(columns)
        return self.head(states).log_softmax(-1)


@architecture("crnn")
def crnn() -> Network:
    """A reader of text lines."""
    generator = torch.Generator().manual_seed(9)
    inputs = {"line": torch.randn(1, 1, 16, 32, generator=generator)}
    module = randomize(_ConvolutionalRecurrent(), *inputs.values())
    return Network(module, inputs, ("scores",), {"line": {0: "batch"}})


class _Temporal(nn.Module):
    """Dilated causal convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 16, 3, padding=2)
        self.second = nn.Conv1d(16, 16, 3, padding=4, dilation=2)
        self.norm = nn.GroupNorm(4, 16)
        self.last = nn.Conv1d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = x.shape[-1]
        x = torch.relu(self.first(x)[..., :steps])
        x = torch.nn.functional.silu(self.norm(self.second(x)[..., :steps])) + x
        return self.last(x)


@architecture("temporal-convolution")
def temporal_convolution() -> Network:
    """Dilated causal convolutions over a series."""
    generator = torch.Generator().manual_seed(10)
    inputs = {"series": torch.randn(1, 4, 32, generator=generator)}
    module = randomize(_Temporal(), *inputs.values())
    return Network(module, inputs, ("next",), {"series": {0: "batch", 2: "steps"}})


class _Table(nn.Module):
    """Numbers and categories in, a probability out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.body = nn.Sequential(
            nn.Linear(5 + 24, 32), nn.BatchNorm1d(32), nn.ELU(), nn.Linear(32, 16), nn.Tanh(),
            nn.Linear(16, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        looked_up = self.embedding(categories).flatten(1)
        return self.body(torch.cat([numbers, looked_up], 1))


@architecture("tabular")
def tabular() -> Network:
    """A table's rows."""
    generator = torch.Generator().manual_seed(11)
    inputs = {
        "numbers": torch.randn(3, 5, generator=generator),
        "categories": torch.randint(0, 50, (3, 3), generator=generator),
    }
    module = randomize(_Table(), *inputs.values())
    dims = {"numbers": {0: "rows"}, "categories": {0: "rows"}}
    return Network(module, inputs, ("probability",), dims)
