"""All passes of the core, in the order in which ``irconv passes`` lists them."""

from __future__ import annotations

from irconv.passes.base import Pass
from irconv.passes.bind_shapes import BindShapes
from irconv.passes.cancel_transposes import CancelTransposes
from irconv.passes.convert_opset import ConvertOpset
from irconv.passes.decompose.einsum import DecomposeEinsum
from irconv.passes.decompose.emulate_dtypes import EmulateDtypes
from irconv.passes.decompose.indexing import DecomposeIndexing
from irconv.passes.decompose.inline_branches import InlineBranches
from irconv.passes.decompose.narrow_float64 import NarrowFloat64
from irconv.passes.decompose.quantized import DecomposeQuantized
from irconv.passes.decompose.recurrent import DecomposeRecurrent
from irconv.passes.decompose.resampling import DecomposeResampling
from irconv.passes.decompose.scan import DecomposeScan
from irconv.passes.decompose.sequences import DecomposeSequences
from irconv.passes.decompose.signal import DecomposeSignal
from irconv.passes.decompose.unroll_loops import UnrollLoops
from irconv.passes.decompose.vision import DecomposeVision
from irconv.passes.dedup_initializers import DedupInitializers
from irconv.passes.eliminate_common_subexpressions import EliminateCommonSubexpressions
from irconv.passes.eliminate_dead_code import EliminateDeadCode
from irconv.passes.eliminate_identity import EliminateIdentity
from irconv.passes.eliminate_no_op import EliminateNoOp
from irconv.passes.expand_functions import ExpandFunctions
from irconv.passes.fit_onnxruntime import FitOnnxruntime
from irconv.passes.fold_constants import FoldConstants
from irconv.passes.fold_shapes import FoldShapes
from irconv.passes.fuse_conv_batchnorm import FuseConvBatchnorm
from irconv.passes.fusions.fuse_gelu import FuseGelu
from irconv.passes.fusions.fuse_group_normalization import FuseGroupNormalization
from irconv.passes.fusions.fuse_hard_sigmoid import FuseHardSigmoid
from irconv.passes.fusions.fuse_hard_swish import FuseHardSwish
from irconv.passes.fusions.fuse_instance_normalization import FuseInstanceNormalization
from irconv.passes.fusions.fuse_layer_normalization import FuseLayerNormalization
from irconv.passes.fusions.fuse_mish import FuseMish
from irconv.passes.fusions.fuse_rms_normalization import FuseRmsNormalization
from irconv.passes.fusions.fuse_softmax import FuseSoftmax
from irconv.passes.fusions.fuse_softplus import FuseSoftplus
from irconv.passes.fusions.fuse_swish import FuseSwish
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.inline_functions import InlineFunctions
from irconv.passes.onnxruntime.fuse_conv_activation import FuseConvActivation
from irconv.passes.onnxruntime.fuse_gelu_bias import FuseGeluBias
from irconv.passes.onnxruntime.fuse_matmul_transpose import FuseMatmulTranspose
from irconv.passes.onnxruntime.lower_group_normalization import LowerGroupNormalization
from irconv.passes.onnxruntime.lower_swish import LowerSwish
from irconv.passes.onnxruntime.separate_residual_sum import SeparateResidualSum
from irconv.passes.prune_magnitude import PruneMagnitude
from irconv.passes.quantize_weights import QuantizeWeights
from irconv.passes.simplify import Simplify

__all__ = ["PASSES"]

PASSES: tuple[type[Pass], ...] = (
    BindShapes,
    ConvertOpset,
    InlineFunctions,
    ExpandFunctions,
    FitOnnxruntime,
    DecomposeEinsum,
    DecomposeIndexing,
    DecomposeQuantized,
    DecomposeRecurrent,
    DecomposeResampling,
    DecomposeScan,
    DecomposeSequences,
    DecomposeSignal,
    DecomposeVision,
    UnrollLoops,
    InlineBranches,
    EmulateDtypes,
    NarrowFloat64,
    InferShapes,
    EliminateIdentity,
    FoldConstants,
    EliminateNoOp,
    FoldShapes,
    CancelTransposes,
    FuseConvBatchnorm,
    FuseInstanceNormalization,
    FuseGroupNormalization,
    FuseLayerNormalization,
    FuseRmsNormalization,
    FuseGelu,
    FuseSwish,
    FuseSoftplus,
    FuseMish,
    FuseHardSwish,
    FuseHardSigmoid,
    FuseSoftmax,
    FuseConvActivation,
    FuseMatmulTranspose,
    FuseGeluBias,
    LowerSwish,
    LowerGroupNormalization,
    SeparateResidualSum,
    Simplify,
    PruneMagnitude,
    QuantizeWeights,
    DedupInitializers,
    EliminateCommonSubexpressions,
    EliminateDeadCode,
)
