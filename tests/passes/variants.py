"""Other models in which a golden case is found again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import ModelProto, NodeProto, ValueInfoProto, compose, helper

__all__ = ["behind", "late_constants", "with_inner_outputs"]


def late_constants(model: ModelProto) -> ModelProto:
    """Return the model with Constant nodes for initializers, each right before its first reader."""
    result = ModelProto()
    result.CopyFrom(model)
    defaults = {value.name for value in model.graph.input}
    waiting = {item.name: item for item in model.graph.initializer if item.name not in defaults}
    del result.graph.node[:]
    for node in model.graph.node:
        for name in sorted(_reads(node) & set(waiting)):
            value = waiting.pop(name)
            result.graph.node.append(helper.make_node("Constant", [], [name], value=value))
        result.graph.node.append(node)
    kept = [item for item in model.graph.initializer if item.name in {*defaults, *waiting}]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return result


def _reads(node: NodeProto) -> set[str]:
    """Return what a node and its bodies read, and what the bodies give."""
    bodies = [
        body
        for attribute in node.attribute
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
    ]
    inside = [_reads(inner) for body in bodies for inner in body.node]
    return set(node.input).union(*inside, [value.name for body in bodies for value in body.output])


def behind(first: ModelProto, second: ModelProto) -> list[ModelProto]:
    """Return models in which an input of ``second`` is the first output of ``first`` that fits it.

    Raises:
        onnx.checker.ValidationError: If the models do not go together.
    """
    if first.functions or second.functions or list(first.opset_import) != list(second.opset_import):
        return []
    defaults = {item.name for item in second.graph.initializer}
    pairs = [
        next(((made.name, read.name) for made in first.graph.output if _fits(made, read)), None)
        for read in second.graph.input
        if read.name not in defaults
    ]
    return [
        compose.merge_models(first, second, [pair], prefix1="first_", prefix2="second_")
        for pair in pairs
        if pair is not None
    ]


def _fits(made: ValueInfoProto, read: ValueInfoProto) -> bool:
    """Say whether a tensor may be an input: of the same dtype, rank and known dims."""
    return _kind(made) == _kind(read) is not None


def _kind(value: ValueInfoProto) -> tuple[int, tuple[int, ...]] | None:
    """Return dtype and dims of a tensor, -1 for one that has a name; None if they are unknown."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return tensor.elem_type, tuple(dims)


def with_inner_outputs(
    model: ModelProto, types: Mapping[str, ValueInfoProto]
) -> Iterator[ModelProto]:
    """Yield the model with each inner value whose type is known in turn as one more output."""
    for node in model.graph.node:
        for name in set(node.output) & set(types):
            result = ModelProto()
            result.CopyFrom(model)
            result.graph.output.append(types[name])
            yield result
