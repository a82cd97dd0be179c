"""The hooks through which irconv finds this plugin's backend and passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.hookspecs import hookimpl

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.passes.base import Pass


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backend of target ``trt``."""
    from irconv_trt.backend import TrtBackend

    return [TrtBackend]


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the passes that fit a graph to TensorRT."""
    from irconv_trt.passes.convert_float16 import ConvertFloat16
    from irconv_trt.passes.expand_asymmetric_qdq import ExpandAsymmetricQdq
    from irconv_trt.passes.fold_bias_dequantize import FoldBiasDequantize
    from irconv_trt.passes.legalize_trt import LegalizeTrt
    from irconv_trt.passes.rewrite_uint8_qdq import RewriteUint8Qdq

    return [ConvertFloat16, ExpandAsymmetricQdq, FoldBiasDequantize, LegalizeTrt, RewriteUint8Qdq]
