"""Compressing the weights of a converted model by coremltools.optimize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irconv_coreml.backend import CoremlBackend

__all__ = ["compressed"]

_BLOCK = 32
_SMALLEST = 512
"""Weights with fewer elements stay as they are: they are sensitive, and there is little to save."""


def compressed(coremltools: Any, converted: Any, backend: CoremlBackend) -> Any:
    """Return the model with its weights stored as the option ``weights`` says."""
    import coremltools.optimize.coreml as optimize

    del coremltools
    if backend.weights.startswith("palette"):
        palette = optimize.OpPalettizerConfig(
            mode="uniform",
            nbits=int(backend.weights.removeprefix("palette")),
            weight_threshold=_SMALLEST,
        )
        return optimize.palettize_weights(
            converted, optimize.OptimizationConfig(global_config=palette)
        )
    if backend.weights == "int4":
        linear = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric",
            dtype="int4",
            granularity="per_block",
            block_size=_BLOCK,
            weight_threshold=_SMALLEST,
        )
    else:
        linear = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int8", weight_threshold=_SMALLEST
        )
    return optimize.linear_quantize_weights(
        converted, optimize.OptimizationConfig(global_config=linear)
    )
