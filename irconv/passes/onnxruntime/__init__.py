"""Passes that fit a model to the kernels that ONNX Runtime has on the CPU.

They use its operators of domain ``com.microsoft`` (version 1) where those were measured to be
faster than the standard ones, with ONNX Runtime's own optimizer off. SkipLayerNormalization,
SkipSimplifiedLayerNormalization, BiasGelu and FusedGemm were measured too, and are not used: the
first two take 16 and 2.6 times as long as what they replace, the others as long.
"""
