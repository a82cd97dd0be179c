"""What the ONNX parser of TensorRT-RTX 1.7 takes, as data.

``OPERATORS`` began as the operators for which ``OnnxParser.supports_operator`` is true (157 of
203), which the parser calls a promise that may be broken. All 1,884 operator tests of ONNX 1.23
were then parsed and built; an operator of which no case could be built, or only few, went from
``OPERATORS`` to ``NOT_BUILT``, with the reason.
"""

from __future__ import annotations

__all__ = ["MATRIX_PRODUCTS", "NOT_BUILT", "OPERATORS"]

OPERATORS = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan",
        "Atanh", "AveragePool", "BatchNormalization", "BlackmanWindow", "Cast", "CastLike",
        "Ceil", "Celu", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv",
        "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Div",
        "Dropout", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten",
        "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm",
        "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual",
        "GridSample", "GroupNormalization", "HammingWindow", "HannWindow", "HardSigmoid",
        "HardSwish", "Hardmax", "Identity", "If", "InstanceNormalization", "IsInf", "IsNaN",
        "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log",
        "LogSoftmax", "Loop", "LpNormalization", "LpPool", "MatMul", "Max", "MaxPool",
        "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "Not",
        "OneHot", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear", "RMSNormalization", "RNN",
        "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range",
        "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
        "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
        "ReduceSumSquare", "Relu", "Reshape", "Resize", "ReverseSequence",
        "RotaryEmbedding", "Round", "STFT", "Scan", "Scatter", "ScatterElements",
        "ScatterND", "Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size",
        "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt",
        "Squeeze", "Sub", "Sum", "Swish", "Tan", "Tanh", "TensorScatter", "ThresholdedRelu",
        "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Upsample", "Where", "Xor",
    }
)  # fmt: skip
"""Operators of the default domain that the parser takes."""

NOT_BUILT: dict[str, str] = {
    "Attention": "TensorRT-RTX builds few of its forms, and its function body was not to be had",
    "CausalConvWithState": "the plugin that it needs does not come with TensorRT-RTX",
    "LinearAttention": "the plugin that it needs does not come with TensorRT-RTX",
    "NonMaxSuppression": "TensorRT-RTX parses it but has no kernel for it",
    "NonZero": "the plugin that it needs does not come with TensorRT-RTX",
    "RoiAlign": "the plugin that it needs does not come with TensorRT-RTX",
}
"""Operators that the parser claims to take and that engines cannot be built from, with why."""

MATRIX_PRODUCTS = frozenset({"Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"})
"""Operators that Turing (SM75) computes in float16 only."""
