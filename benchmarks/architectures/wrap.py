"""Networks of transformers as plain functions from tensors to tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from architectures.registry import Network
from architectures.weights import randomize

__all__ = ["TEXT", "IMAGE", "decoder", "ids", "image", "network", "plain"]

TEXT = {0: "batch", 1: "sequence"}
IMAGE = {0: "batch"}
VOCABULARY = 512


class _Plain(torch.nn.Module):
    """Takes the inputs by position and returns the named outputs as a tuple."""

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str], picks: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.picks = tuple(picks)

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result = self.model(**dict(zip(self.inputs, values, strict=True)))
        return tuple(getattr(result, pick) for pick in self.picks)


class _Cached(torch.nn.Module):
    """A decoder's step: tokens, mask and the cache so far in; logits and the longer cache out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        pairs = list(zip(past[::2], past[1::2], strict=True))
        cache = DynamicCache(ddp_cache_data=pairs)
        result = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=True,
        )
        present = [state for layer in cache.layers for state in (layer.keys, layer.values)]
        return (result.logits, *present)


def ids(*shape: int, seed: int = 1) -> torch.Tensor:
    """Return random token numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, shape, generator=generator)


def image(size: int = 64, channels: int = 3, seed: int = 1) -> torch.Tensor:
    """Return one random image, [1, channels, size, size]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, size, size, generator=generator)


def network(
    model: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    picks: Sequence[str],
    dims: Mapping[str, Mapping[int, str]],
) -> Network:
    """Wrap a network of transformers, with weights drawn from a seed."""
    randomize(model, **inputs)
    return plain(model, inputs, picks, dims)


def plain(
    model: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    picks: Sequence[str],
    dims: Mapping[str, Mapping[int, str]],
) -> Network:
    """Wrap a network of transformers with the weights that it has."""
    return Network(_Plain(model, list(inputs), picks), inputs, tuple(picks), dims)


def decoder(
    build: Callable[[], torch.nn.Module], *, layers: int, heads: int, width: int
) -> Network:
    """Wrap a decoder with its cache: a few new tokens after a past of eight.

    Args:
        build: Builds the causal language model.
        layers: Its layers, each with keys and values.
        heads: Heads of the keys and values.
        width: Width of one head.
    """
    model: Any = build()
    new, past = 4, 8
    inputs = {"input_ids": ids(1, new), "attention_mask": torch.ones(1, new + past).long()}
    randomize(model, input_ids=inputs["input_ids"])
    dims: dict[str, dict[int, str]] = {
        "input_ids": {0: "batch", 1: "sequence"},
        "attention_mask": {0: "batch", 1: "total"},
    }
    generator = torch.Generator().manual_seed(3)
    names = [f"past_{part}_{layer}" for layer in range(layers) for part in ("key", "value")]
    for name in names:
        inputs[name] = torch.randn(1, heads, past, width, generator=generator)
        dims[name] = {0: "batch", 2: "past"}
    outputs = ("logits", *(name.replace("past", "present") for name in names))
    return Network(_Cached(model), inputs, outputs, dims)
