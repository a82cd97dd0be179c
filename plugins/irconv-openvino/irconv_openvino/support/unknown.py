"""Operators for which OpenVINO's ONNX importer has no conversion rule (2026.4.1).

Found by giving the importer one node of each operator of onnx 1.23 and of ONNX Runtime's own
domain.
"""

from __future__ import annotations

__all__ = ["MICROSOFT_WITH_RULE", "WITHOUT_RULE"]

WITHOUT_RULE: frozenset[tuple[str, str]] = frozenset(
    [
        ("", name)
        for name in (
            "Bernoulli", "BitCast", "CausalConvWithState", "CumProd", "DeformConv", "Det",
            "ImageDecoder", "LinearAttention", "MaxUnpool", "MelWeightMatrix", "Optional",
            "OptionalGetElement", "OptionalHasElement", "RegexFullMatch", "SequenceMap",
            "StringConcat", "StringNormalizer", "StringSplit", "SwiGLU", "TensorScatter",
            "TfIdfVectorizer",
        )
    ]
    + [
        ("ai.onnx.ml", name)
        for name in (
            "ArrayFeatureExtractor", "Binarizer", "CastMap", "CategoryMapper", "DictVectorizer",
            "FeatureVectorizer", "Imputer", "LabelEncoder", "LinearClassifier",
            "LinearRegressor", "OneHotEncoder", "SVMClassifier", "SVMRegressor", "Scaler",
            "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "ZipMap",
        )
    ]
    + [("ai.onnx.preview", "FlexAttention")]
    + [("ai.onnx.preview.training", name) for name in ("Adagrad", "Adam", "Gradient", "Momentum")]
)  # fmt: skip
"""Standard operators without a rule, by domain and name."""

MICROSOFT_WITH_RULE: frozenset[str] = frozenset(
    {
        "Attention", "BiasAdd", "BiasGelu", "BifurcationDetector", "DequantizeLinear",
        "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "EmbedLayerNormalization", "FastGelu",
        "FusedConv", "FusedGemm", "FusedMatMul", "GatherBlockQuantized", "GatherND", "Gelu",
        "GroupNorm", "GroupQueryAttention", "MatMulIntegerToFloat", "MatMulNBits",
        "MultiHeadAttention", "Pad", "QLinearAdd", "QLinearAveragePool", "QLinearConcat",
        "QLinearLeakyRelu", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid", "QLinearSoftmax",
        "QLinearWhere", "QuantizeLinear", "QuickGelu", "Range", "RotaryEmbedding",
        "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Trilu",
    }
)  # fmt: skip
"""Operators of the domain com.microsoft that have one."""
