"""What helps where a target refuses a model: words that every backend may use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from irconv.graph.interface import input_specs

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.runtime.base import TensorSpec

__all__ = ["binding_way_out", "open_dimensions", "operator_way_out"]

_SIZE = 8
"""The size that examples of ``--shape`` show."""

_RANDOM = "make the random numbers an input of the model, or export it for inference"
_TEXT = "do this step on text before the model, and export what follows"
_LISTS = "export it with plain tensors in place of sequences and optionals"
_BY_OPERATOR = {
    **dict.fromkeys(
        (
            "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
            "RandomUniformLike",
        ),
        _RANDOM,
    ),
    **dict.fromkeys(
        ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"),
        _TEXT,
    ),
    "ImageDecoder": "decode images before the model, and export it with pixels as its input",
}  # fmt: skip
_BY_DOMAIN = {
    "ai.onnx.ml": "export the estimator as tensor operators, or leave this step out of the model",
    "ai.onnx.preview.training": "export the model for inference, without its training graph",
    "com.microsoft": "export the model before ONNX Runtime optimizes it: the original has "
    "standard operators in place of this one",
}
_OTHERWISE = "export the model with standard operators there, or leave that part out"


def operator_way_out(node: ir.Node) -> str:
    """Return what a user can do about an operator that a target lacks."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain:
        return _BY_DOMAIN.get(domain, _OTHERWISE)
    if node.op_type.startswith(("Optional", "Sequence", "SplitToSequence")):
        return _LISTS
    return _BY_OPERATOR.get(node.op_type, _OTHERWISE)


def open_dimensions(model: ir.Model) -> dict[str, list[str]]:
    """Return the named dimensions of the inputs that no size is bound to.

    Returns:
        The names of the inputs that have it, by the dimension's name, in the inputs' order.
    """
    found: dict[str, list[str]] = {}
    for spec in input_specs(model):
        for dim in dict.fromkeys(spec.shape or ()):
            if isinstance(dim, str):
                found.setdefault(dim, []).append(spec.name)
    return found


def binding_way_out(model: ir.Model, values: Iterable[ir.Value | None] = ()) -> str:
    """Return which dimensions of the inputs are dynamic, and the options that bind them.

    Args:
        model: The model.
        values: What a refused node reads. Where its dimensions are those of inputs, only they
            are named; else all are, for a dimension in between follows from those of the inputs.

    Returns:
        One sentence without a full stop; empty where every input has fixed sizes.
    """
    dims = open_dimensions(model)
    read = {str(dim) for value in values if value is not None for dim in value.shape or ()}
    named = [name for name in dims if name in read] or list(dims)
    unnamed = [spec for spec in input_specs(model) if spec.shape is None or None in spec.shape]
    if named:
        places = ", ".join(f"{name!r} of {_listed(dims[name])}" for name in named)
        options = " ".join(f"--shape '{name}={_SIZE}'" for name in named)
        return f"bind the dynamic {'dimensions' if len(named) > 1 else 'dimension'} {places}: " + (
            options
        )
    if unnamed:
        return "give sizes to the dimensions without a name: " + " ".join(map(_sized, unnamed))
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"input {name!r}" for name in names)


def _sized(spec: TensorSpec) -> str:
    """Return an option that gives an input its sizes, as an example."""
    sizes = ",".join(str(_SIZE if dim is None else dim) for dim in spec.shape or (_SIZE,))
    return f"--input '{spec.name}[{sizes}]'"
