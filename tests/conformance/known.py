"""Failures that are known, and why.

What a target cannot do it refuses by name. Listed here is what stays: numbers that no two
runtimes share, special values, slips of the suite itself, and this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_EVERYWHERE: Mapping[str, str] = {
    r"node/test_bernoulli.*": "the suite compares random numbers with its own",
    r"node/test_training_dropout.*": "the suite compares random numbers with its own",
    r"node/test_resize_downsample_scales_(cubic|linear)_align_corners": (
        "the suite rounds the output size otherwise than both runtimes do"
    ),
    r"node/test_(dft|stft).*": (
        "the suite compares a float32 transform with a float64 one, at 1e-7 near zero"
    ),
    r"node/test_attention_4d_causal_fp16(_expanded)?": (
        "two values of 192 are off by a unit of float16, which the suite computes in"
    ),
}
_TARGETS: Mapping[str, Mapping[str, str]] = {
    "onnx": {
        r".*/test_strnorm.*": "ONNX Runtime wants the locale en_US.UTF-8, which is not installed",
        r"node/test_affine_grid_2d(_align_corners)?_expanded": (
            "the suite gives Range vectors of one element in place of scalars, which ONNX Runtime "
            "notices once their shapes are known"
        ),
    },
    "tflite": {
        r"pytorch-operator/test_operator_add(_broadcast|_size1_.*_broadcast|constant)": (
            "float64 numbers beyond the range of float32, in which float64 is computed"
        ),
    },
    "coreml": {
        r"pytorch-operator/test_operator_add(_broadcast|_size1_.*_broadcast|constant)": (
            "float64 inputs beyond the range of float32, in which float64 is computed, are refused"
            " when they are fed"
        ),
    },
    "trt": {
        r"node/test_(attention_.*_bf16|celu_bfloat16|swiglu|dequantizelinear_e4m3fn).*": (
            "the engine is built, but without a GPU nothing here can run its graph: ONNX Runtime "
            "has no kernel"
        ),
    },
    "executorch": {
        r"node/test_(attention_4d.*_fp16|causal_conv_.*_fp16|swiglu_float16)(_expanded)?": (
            "some values are off by up to three units of float16, in which each operator rounds"
        ),
    },
    "openvino": {
        r"real/test_squeezenet": (
            "its weights are one and the same number, so that its logits are equal numbers of "
            "9e9, among which the rounding of the last bit decides; it differs from CPU to CPU"
        ),
        r"node/test_bitshift_left_int32_shift_ge_width": (
            "a shift by as many bits as the dtype has does not give 0"
        ),
        r"node/test_(cast.*DOUBLE|mod_float_edge_cases.*float64).*": (
            "float64 is computed in float32: infinities become finite"
        ),
        r"pytorch-operator/test_operator_add.*": (
            "float64 is computed in float32: values above 3.4e38 become infinite"
        ),
        r"node/test_dynamicquantizelinear(_expanded)?": (
            "a number halfway between two quantized ones is rounded the other way"
        ),
        r"node/test_nonmaxsuppression_iou_threshold_boundary": (
            "a box that overlaps by exactly the threshold is suppressed"
        ),
    },
}


def why_known(target: str, case: str) -> str:
    """Return why the failure of a case is known, or the empty string."""
    for patterns in (_TARGETS.get(target, {}), _EVERYWHERE):
        for pattern, reason in patterns.items():
            if re.fullmatch(pattern, case):
                return reason
    return ""
