"""The list of architectures, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

__all__ = ["INITIALIZED", "Architecture", "Network", "architecture", "architectures"]

FAMILIES = (
    "samples",
    "text_encoders",
    "text_decoders",
    "sequence_to_sequence",
    "vision_transformers",
    "vision_convolutions",
    "detection",
    "speech",
    "recurrent",
    "keras_vision",
)
"""The modules of this package that define the zoo's architectures."""
INITIALIZED = "initialized"
"""The module of the sample networks as a fresh initialization leaves them; no part of the zoo."""


@dataclass(frozen=True)
class Network:
    """A network that is ready to be exported.

    Attributes:
        module: The network; it takes its inputs by position and returns tensors.
        inputs: Sample inputs by name, in order.
        outputs: Names of the outputs, in order; empty to have the exporter name them.
        dims: For the dynamic form: name of each dimension that varies, by input and axis.
    """

    module: torch.nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...] = ()
    dims: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """A named way to build a network.

    Attributes:
        name: Kebab-case name.
        family: The module that defines it.
        build: Builds the network with seeded weights.
    """

    name: str
    family: str
    build: Callable[[], Network]


_ARCHITECTURES: dict[str, Architecture] = {}


def architecture(name: str) -> Callable[[Callable[[], Network]], Callable[[], Network]]:
    """Register a function that builds a network under a name."""

    def register(build: Callable[[], Network]) -> Callable[[], Network]:
        family = build.__module__.rsplit(".", 1)[-1]
        assert name not in _ARCHITECTURES, name
        _ARCHITECTURES[name] = Architecture(name, family, build)
        return build

    return register


def architectures(families: Sequence[str] = FAMILIES) -> dict[str, Architecture]:
    """Return every architecture of some families by name."""
    for family in families:
        importlib.import_module(f"architectures.{family}")
    return {name: entry for name, entry in _ARCHITECTURES.items() if entry.family in families}
