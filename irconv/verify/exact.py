"""Which operators round nothing."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["is_exact", "may_be_exact"]

_EXACT = frozenset({
    "Abs", "Cast", "CastLike", "Ceil", "CenterCropPad", "Clip", "Col2Im", "Compress", "Concat",
    "ConcatFromSequence", "Constant", "ConstantOfShape", "DepthToSpace", "EyeLike", "Expand",
    "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "GlobalMaxPool", "Identity",
    "If", "Loop", "Max", "MaxPool", "MaxUnpool", "Min", "Neg", "OneHot", "Optional",
    "OptionalGetElement", "Pad", "Range", "ReduceMax", "ReduceMin", "Relu", "Reshape",
    "ReverseSequence", "Round", "Scan", "ScatterND", "ScatterElements", "SequenceAt",
    "SequenceConstruct", "Shape", "Sign", "Size", "Slice", "SpaceToDepth", "Split",
    "SplitToSequence", "Squeeze", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu",
    "Unsqueeze", "Where", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Bernoulli", "Multinomial",
})  # fmt: skip
"""Operators that round nothing (Cast to a coarser type rounds, but in every runtime alike)."""

_SOMETIMES_EXACT = frozenset({
    "Add", "Sub", "Mul", "Div", "Sum", "Mean", "Mod", "Pow", "CumSum", "ReduceSum", "ReduceMean",
    "ReduceProd", "Resize",
})  # fmt: skip
"""Operators that make masks, flags and counts, whose results often need no rounding."""


def is_exact(node: ir.Node) -> bool:
    """Say whether a node rounds nothing: it moves, chooses or looks up what there is."""
    if node.domain == "":
        return node.op_type in _EXACT
    return node.domain == "ai.onnx.ml" and (
        node.op_type == "LabelEncoder"
        or (node.op_type == "TreeEnsembleRegressor" and _is_one_tree(node))
    )


def _is_one_tree(node: ir.Node) -> bool:
    """Say whether a regressor gives weights of leaves as they stand, such as a leaf's number."""
    given = node.attributes
    if any(name in given for name in ("base_values", "base_values_as_tensor")):
        return False
    if "post_transform" in given and given["post_transform"].as_string() != "NONE":
        return False
    if not {"nodes_treeids", "target_nodeids", "target_ids"} <= given.keys():
        return False
    leaves = [*zip(given["target_nodeids"].as_ints(), given["target_ids"].as_ints(), strict=True)]
    return len(set(given["nodes_treeids"].as_ints())) == 1 and len(set(leaves)) == len(leaves)


def may_be_exact(value: ir.Value) -> bool:
    """Say whether no rounding may have made a value: a mask, a flag, a count, or a source."""
    producer = value.producer()
    return producer is None or producer.op_type in _SOMETIMES_EXACT
