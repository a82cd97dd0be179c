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
from irconv.passes.drop_default_inputs import DropDefaultInputs
from irconv.passes.drop_expands import DropExpands
from irconv.passes.eliminate_common_subexpressions import EliminateCommonSubexpressions
from irconv.passes.eliminate_dead_code import EliminateDeadCode
from irconv.passes.eliminate_identity import EliminateIdentity
from irconv.passes.eliminate_no_op import EliminateNoOp
from irconv.passes.expand_functions import ExpandFunctions
from irconv.passes.fit_onnxruntime import FitOnnxruntime
from irconv.passes.fold_biases import FoldBiases
from irconv.passes.fold_constants import FoldConstants
from irconv.passes.fold_layouts import FoldLayouts
from irconv.passes.fold_padding import FoldPadding
from irconv.passes.fold_scales import FoldScales
from irconv.passes.fold_shapes import FoldShapes
from irconv.passes.fuse_batchnorm_conv import FuseBatchnormConv
from irconv.passes.fuse_conv_batchnorm import FuseConvBatchnorm
from irconv.passes.fuse_gemm import FuseGemm
from irconv.passes.fusions.fuse_attention import FuseAttention
from irconv.passes.fusions.fuse_gelu import FuseGelu
from irconv.passes.fusions.fuse_group_normalization import FuseGroupNormalization
from irconv.passes.fusions.fuse_gru import FuseGru
from irconv.passes.fusions.fuse_hard_sigmoid import FuseHardSigmoid
from irconv.passes.fusions.fuse_hard_swish import FuseHardSwish
from irconv.passes.fusions.fuse_instance_normalization import FuseInstanceNormalization
from irconv.passes.fusions.fuse_layer_normalization import FuseLayerNormalization
from irconv.passes.fusions.fuse_lstm import FuseLstm
from irconv.passes.fusions.fuse_mish import FuseMish
from irconv.passes.fusions.fuse_rms_normalization import FuseRmsNormalization
from irconv.passes.fusions.fuse_rotary_embedding import FuseRotaryEmbedding
from irconv.passes.fusions.fuse_softmax import FuseSoftmax
from irconv.passes.fusions.fuse_softplus import FuseSoftplus
from irconv.passes.fusions.fuse_swish import FuseSwish
from irconv.passes.hoist_invariants import HoistInvariants
from irconv.passes.hoist_selections import HoistSelections
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.inline_functions import InlineFunctions
from irconv.passes.lift_constants import LiftConstants
from irconv.passes.merge_arithmetic import MergeArithmetic
from irconv.passes.merge_casts import MergeCasts
from irconv.passes.merge_concats import MergeConcats
from irconv.passes.merge_matmuls import MergeMatmuls
from irconv.passes.merge_parallel_matmuls import MergeParallelMatmuls
from irconv.passes.merge_reshapes import MergeReshapes
from irconv.passes.merge_slices import MergeSlices
from irconv.passes.onnxruntime.fuse_conv_activation import FuseConvActivation
from irconv.passes.onnxruntime.fuse_gelu_bias import FuseGeluBias
from irconv.passes.onnxruntime.fuse_matmul_transpose import FuseMatmulTranspose
from irconv.passes.onnxruntime.fuse_skip_layer_normalization import FuseSkipLayerNormalization
from irconv.passes.onnxruntime.lower_group_normalization import LowerGroupNormalization
from irconv.passes.onnxruntime.lower_long_attention import LowerLongAttention
from irconv.passes.onnxruntime.lower_swish import LowerSwish
from irconv.passes.onnxruntime.pack_attention import PackAttention
from irconv.passes.onnxruntime.separate_residual_sum import SeparateResidualSum
from irconv.passes.prune_magnitude import PruneMagnitude
from irconv.passes.quantize_weights import QuantizeWeights
from irconv.passes.simplify import Simplify
from irconv.passes.sink_reshapes import SinkReshapes
from irconv.passes.split_pointwise_conv import SplitPointwiseConv
from irconv.passes.unflatten_matmuls import UnflattenMatmuls

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
    LiftConstants,
    EliminateIdentity,
    FoldConstants,
    FoldLayouts,
    EliminateNoOp,
    DropDefaultInputs,
    FoldShapes,
    DropExpands,
    MergeCasts,
    MergeReshapes,
    SinkReshapes,
    SplitPointwiseConv,
    MergeConcats,
    MergeSlices,
    UnflattenMatmuls,
    MergeMatmuls,
    CancelTransposes,
    HoistInvariants,
    HoistSelections,
    FoldPadding,
    MergeArithmetic,
    FuseConvBatchnorm,
    FuseBatchnormConv,
    FoldScales,
    FoldBiases,
    MergeParallelMatmuls,
    FuseGemm,
    FuseInstanceNormalization,
    FuseGroupNormalization,
    FuseLayerNormalization,
    FuseRmsNormalization,
    FuseRotaryEmbedding,
    FuseAttention,
    FuseGelu,
    FuseSwish,
    FuseSoftplus,
    FuseMish,
    FuseHardSwish,
    FuseHardSigmoid,
    FuseSoftmax,
    FuseLstm,
    FuseGru,
    FuseConvActivation,
    FuseMatmulTranspose,
    LowerLongAttention,
    PackAttention,
    FuseGeluBias,
    FuseSkipLayerNormalization,
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
