"""ONNX through the target ``tflite`` and back by the frontend: a sample of the backend suite."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("irconv_tflite")
pytest.importorskip("ai_edge_litert")
pytestmark = pytest.mark.slow

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "tflite_round_trip.py"
SAMPLE = [
    "add_bcast", "argmax_keepdims_random", "averagepool_2d_same_upper", "basic_conv_with_padding",
    "batchnorm_epsilon", "clip_splitbounds", "concat_3d_axis_negative_2",
    "conv_with_strides_padding", "convtranspose_pads", "cumsum_2d_axis_1",
    "depthtospace_crd_mode_example", "dynamicquantizelinear", "einsum_transpose", "flatten_axis2",
    "gather_elements_1", "gathernd_example_int32_batch_dim1", "gelu_tanh_1", "gemm_transposeB",
    "group_normalization_epsilon", "gru_seq_length", "hardswish", "if", "instancenorm_epsilon",
    "layer_normalization_3d_axis1_epsilon", "loop11", "lppool_2d_default", "lrn",
    "lstm_with_peepholes", "matmul_4d", "maxpool_2d_ceil", "mod_mixed_sign_int32",
    "nonmaxsuppression_limit_output_size", "onehot_with_axis", "prelu_broadcast", "qlinearconv",
    "quantizelinear_axis", "reduce_l2_keep_dims_random", "reshape_zero_dim",
    "resize_downsample_sizes_cubic", "resize_upsample_scales_linear", "reversesequence_time",
    "scatternd", "slice_neg_steps", "softmax_axis_2", "spacetodepth",
    "split_variable_parts_2d_opset18", "top_k", "transpose_all_permutations_3",
    "unique_not_sorted_without_axis", "where_example",
]  # fmt: skip


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tflite_round_trip", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def suite(benchmark: ModuleType) -> dict[str, Any]:
    cases = benchmark.load_suite()
    sys.modules.pop("suite")
    return cases


@pytest.mark.parametrize("name", SAMPLE)
def test_what_was_written_comes_back(
    name: str, benchmark: ModuleType, suite: dict[str, Any], tmp_path: Path
) -> None:
    assert re.match("pass|as LiteRT", benchmark.round_trip(suite[f"node/test_{name}"], tmp_path))
