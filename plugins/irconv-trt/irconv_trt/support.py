"""Which nodes TensorRT-RTX takes, why not, and what helps; needs no SDK.

Each rule was found by experiment with TensorRT-RTX 1.7; those marked *silent* keep out what it
would accept and then compute wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from irconv.backends.base import Support
from irconv_trt.op_table import MATRIX_PRODUCTS, NOT_BUILT, OPERATORS

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["support_of"]

_REDUCTIONS = frozenset({"ReduceMax", "ReduceMin"})
_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
_ONE_OUTPUT = frozenset({"LayerNormalization", "MaxPool"})
_UINT8_OPERATORS = frozenset({"Cast", "Identity"})
_DTYPES = frozenset(
    {
        "FLOAT", "FLOAT16", "BFLOAT16", "INT32", "INT64", "BOOL", "INT8", "UINT8",
        "FLOAT8E4M3FN", "INT4", "FLOAT4E2M1", "FLOAT8E8M0",
    }
)  # fmt: skip
_QUANTIZED_ONLY = frozenset({"FLOAT8E4M3FN", "INT4", "FLOAT4E2M1", "FLOAT8E8M0"})
_QUANTIZERS = frozenset({"Constant", "DequantizeLinear", "QuantizeLinear"})
_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
_CACHE_RANK = 4
_MOST_DIMENSIONS = 8
_TURING = 75
_FLOAT8_CAPABILITY = 89
_TRAINING, _MATRIX = 2, 2
_DECOMPOSE = "express it by simpler operators in the model"
_QUANTIZE_AGAIN = "quantize again with symmetric int8 activations and weights (zero point 0)"


def support_of(node: ir.Node, capabilities: Iterable[int]) -> Support:
    """Say whether TensorRT-RTX takes ``node``.

    Args:
        node: The node, after legalization.
        capabilities: The compute capabilities that the engine is for, as far as they are named.
    """
    for rule in _RULES:
        support = rule(node)
        if support is not None:
            return support
    return _hardware(node, min(capabilities, default=_FLOAT8_CAPABILITY)) or Support(True)


def _no(code: str, reason: str, way_out: str) -> Support:
    return Support(False, code, reason, way_out)


def _operator(node: ir.Node) -> Support | None:
    if node.domain not in ("", "ai.onnx"):
        return _no(
            "UNSUPPORTED_OP",
            f"TensorRT-RTX knows no operators of domain {node.domain!r}",
            _DECOMPOSE,
        )
    if node.op_type in NOT_BUILT:
        return _no("UNSUPPORTED_OP", NOT_BUILT[node.op_type], _DECOMPOSE)
    if node.op_type not in OPERATORS:
        return _no("UNSUPPORTED_OP", f"TensorRT-RTX has no operator {node.op_type!r}", _DECOMPOSE)
    return None


def _ranks(node: ir.Node) -> Support | None:
    for value in (*node.inputs, *node.outputs):
        rank = 0 if value is None or value.shape is None else value.shape.rank()
        if value is not None and rank > _MOST_DIMENSIONS:
            return _no(
                "UNSUPPORTED_RANK",
                f"{value.name!r} has {rank} dimensions, and TensorRT-RTX takes at most "
                f"{_MOST_DIMENSIONS}",
                "merge dimensions that stay side by side with a Reshape",
            )
    return None


def _dtypes(node: ir.Node) -> Support | None:
    for value in (*node.inputs, *node.outputs):
        if value is None or value.dtype is None:
            continue
        name = value.dtype.name
        if name == "DOUBLE":  # silent: computed in float32
            return _no(
                "UNSUPPORTED_DTYPE",
                f"{value.name!r} is float64, which TensorRT-RTX narrows to float32 silently",
                "convert the model to float32",
            )
        if name not in _DTYPES:
            return _no(
                "UNSUPPORTED_DTYPE",
                f"{value.name!r} is {name.lower()}, which TensorRT-RTX does not have",
                "use float32, float16, bfloat16, int32, int64, bool, or int8 by Q/DQ",
            )
        if name in _QUANTIZED_ONLY and node.op_type not in _QUANTIZERS:
            return _no(
                "UNSUPPORTED_DTYPE",
                f"{value.name!r} is {name.lower()}, which TensorRT-RTX has only between "
                "QuantizeLinear and DequantizeLinear",
                "quantize and dequantize in place of casting",
            )
        if name == "UINT8" and node.op_type not in _UINT8_OPERATORS:  # silent: taken as int8
            return _no(
                "UINT8",
                f"{value.name!r} is uint8, which TensorRT-RTX takes for int8 or refuses",
                _QUANTIZE_AGAIN,
            )
    return None


def _quantization(node: ir.Node) -> Support | None:
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return None
    data, zero_point = node.inputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    if data is not None and data.dtype is not None and data.dtype.name == "INT32":
        return _no(
            "INT32_DEQUANTIZE",
            "TensorRT-RTX dequantizes no int32",
            "store the bias in float32 instead",
        )
    if zero_point is None:
        return None
    tensor = _constant(zero_point)
    if tensor is None:
        return _no(
            "DYNAMIC_ZERO_POINT", "its zero point is computed, not constant", _QUANTIZE_AGAIN
        )
    if tensor.numpy().astype("float32").any():
        return _no(
            "ASYMMETRIC_QUANTIZATION",
            "its zero point is not 0, and TensorRT-RTX quantizes symmetrically only",
            f"set asymmetric=float to compute it in floating point, or {_QUANTIZE_AGAIN}",
        )
    return None


def _constant(value: ir.Value) -> ir.TensorProtocol | None:
    if value.const_value is not None and not value.is_graph_input():
        return value.const_value
    producer = value.producer()
    if producer is not None and producer.op_type == "Constant":
        attribute = producer.attributes.get("value")
        return attribute.as_tensor() if attribute is not None else None
    return None


def _attributes(node: ir.Node) -> Support | None:
    kind = node.op_type
    if kind in _POOLS:
        return _pool(node)
    if kind in _RECURRENT and _int(node, "layout", 0):
        return _attribute("its batch comes first (layout=1)")
    if kind == "TensorScatter":
        return _tensor_scatter(node)
    if kind == "LpPool" and _int(node, "p", 2) not in (1, 2):
        return _attribute("only p=1 and p=2 are taken")
    if kind in ("ScatterND", "ScatterElements") and _text(node, "reduction", "none") != "none":
        return _attribute("it scatters with a reduction")
    if kind == "Resize":
        return _resize(node)
    if kind == "BatchNormalization" and _int(node, "training_mode", 0):
        return _attribute("it is in training mode")
    if kind.startswith("Random") and "seed" in node.attributes:  # silent: another sequence
        return _attribute("TensorRT-RTX ignores its seed, so it cannot give the same numbers")
    return None


def _pool(node: ir.Node) -> Support | None:
    """Refuse windows that TensorRT counts otherwise than ONNX, as far as sizes are known."""
    if any(size != 1 for size in _ints(node, "dilations")):
        return _attribute("it is dilated")
    data = node.inputs[0]
    if not _int(node, "ceil_mode", 0) or data is None or data.shape is None:
        return None
    kernel, strides, pads = (_ints(node, name) for name in ("kernel_shape", "strides", "pads"))
    for axis, size in enumerate(list(data.shape)[2:]):
        if not isinstance(size, int):
            continue
        stride = strides[axis] if strides else 1
        before, behind = (pads[axis], pads[axis + len(kernel)]) if pads else (0, 0)
        if kernel[axis] > size + before + behind:
            return _attribute("its window is larger than the padded data (ceil_mode=1)")
        last = -(-(size + before + behind - kernel[axis]) // stride) * stride
        if last >= size + before:
            return _attribute("its last window lies in the padding (ceil_mode=1)")
    return None


def _tensor_scatter(node: ir.Node) -> Support | None:
    if _text(node, "mode", "linear") != "linear":
        return _attribute("only mode=linear is taken")
    cache = node.inputs[0]
    if cache is not None and cache.shape is not None and cache.shape.rank() != _CACHE_RANK:
        return _attribute("only a cache of rank 4 is taken")
    return None


def _resize(node: ir.Node) -> Support | None:
    if _int(node, "antialias", 0):
        return _attribute("it is antialiased")
    if _text(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return _attribute("only keep_aspect_ratio_policy=stretch is taken")
    if _text(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return _attribute("coordinate_transformation_mode=tf_crop_and_resize is not taken")
    return None


def _attribute(reason: str) -> Support:
    return _no("UNSUPPORTED_ATTRIBUTE", reason, _DECOMPOSE)


def _connections(node: ir.Node) -> Support | None:
    if node.op_type in _ONE_OUTPUT and any(value.name for value in node.outputs[1:]):
        return _no("UNSUPPORTED_OUTPUT", "only its first output can be had", _DECOMPOSE)
    first = node.inputs[0] if node.inputs else None
    boolean = first is not None and first.dtype is not None and first.dtype.name == "BOOL"
    if node.op_type in _REDUCTIONS and boolean:
        return _no("UNSUPPORTED_DTYPE", "it reduces booleans", "cast to int32 before it")
    if node.op_type == "Mod" and not _int(node, "fmod", 0) and _floating(first):
        return _no("UNSUPPORTED_DTYPE", "it takes floats with fmod=0", "set fmod=1")
    integer8 = first is not None and first.dtype is not None and first.dtype.name == "INT8"
    if node.op_type in ("Clip", "Mod") and integer8:
        return _no("UNSUPPORTED_DTYPE", "it computes with int8", "cast to int32 before it")
    return _constants(node) or _vector_product(node)


def _constants(node: ir.Node) -> Support | None:
    """Refuse what must be known when the engine is built, and is not."""
    if node.op_type == "Dropout" and len(node.inputs) > _TRAINING:
        training = node.inputs[_TRAINING]
        tensor = None if training is None else _constant(training)
        if training is not None and (tensor is None or tensor.numpy().any()):
            return _no("NOT_CONSTANT", "it drops values, as in training", "export for inference")
    if node.op_type == "STFT":
        for index in (1, 3):
            value = node.inputs[index] if index < len(node.inputs) else None
            if value is not None and _constant(value) is None:
                return _no(
                    "NOT_CONSTANT",
                    f"{value.name!r}, a size of its frames, is not constant",
                    "make it constant",
                )
    return None


def _vector_product(node: ir.Node) -> Support | None:
    if node.op_type != "MatMul":
        return None
    ranks = [
        value.shape.rank() if value is not None and value.shape is not None else None
        for value in node.inputs
    ]
    if ranks[0] == 1 and (ranks[1] or 0) > _MATRIX:
        return _no(
            "UNSUPPORTED_FORM",
            "it multiplies a vector by a stack of matrices",
            "reshape the vector to a matrix",
        )
    return None


def _floating(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is not None and value.dtype.is_floating_point()


def _hardware(node: ir.Node, oldest: int) -> Support | None:
    """Refuse what the oldest GPU of an engine cannot compute."""
    names = {
        value.dtype.name
        for value in (*node.inputs, *node.outputs)
        if value is not None and value.dtype is not None
    }
    if "FLOAT8E4M3FN" in names and oldest < _FLOAT8_CAPABILITY:
        return _no(
            "NO_FLOAT8",
            f"SM{oldest} has no float8",
            f"name no sm below {_FLOAT8_CAPABILITY}",
        )
    if oldest != _TURING:
        return None
    if "BFLOAT16" in names:
        return _no("SM75_BFLOAT16", "SM75 (Turing) has no bfloat16", "leave 75 out of sm")
    if node.op_type in MATRIX_PRODUCTS and "FLOAT" in names:
        return _no(
            "SM75_FLOAT32",
            "SM75 (Turing) has no float32 matrix product in TensorRT-RTX",
            "set precision=fp16, or leave 75 out of sm",
        )
    return None


def _int(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_int()


def _text(node: ir.Node, name: str, default: str) -> str:
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_string()


def _ints(node: ir.Node, name: str) -> tuple[int, ...]:
    attribute = node.attributes.get(name)
    return () if attribute is None or attribute.is_ref() else tuple(attribute.as_ints())


_RULES: tuple[Callable[[ir.Node], Support | None], ...] = (
    _operator,
    _ranks,
    _dtypes,
    _quantization,
    _attributes,
    _connections,
)
