"""How many dimensions LiteRT's kernels take.

Beyond its limit a kernel ends the process or fails when the model is opened, so a model over it
is refused here. The limits are those of LiteRT 2 with XNNPACK, which takes at most six
dimensions and fails where it accepted an operator with more; found by running every operator
that is emitted at every rank up to nine.
"""

from __future__ import annotations

from irconv_tflite.emit.graph import Operator, Tensor
from irconv_tflite.emit.refusal import RefusalError

__all__ = ["require_rank"]

_PAD = 5
_XNNPACK = 6
_KERNELS = 8
_MOST = {
    **dict.fromkeys(("PAD", "PADV2"), _PAD),
    **dict.fromkeys(
        (
            "BATCH_MATMUL", "CONCATENATION", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "SOFTMAX", "SUM",
        ),
        _XNNPACK,
    ),
    **dict.fromkeys(("FLOOR_MOD", "SELECT_V2", "TRANSPOSE"), _KERNELS),
}  # fmt: skip
_BROADCASTING = frozenset(
    {
        "ADD", "ATAN2", "BITWISE_XOR", "DIV", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS",
        "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "MAXIMUM", "MINIMUM", "MUL", "NOT_EQUAL",
        "POW", "RIGHT_SHIFT", "SQUARED_DIFFERENCE", "SUB",
    }
)  # fmt: skip
"""Operators with a limit only where their operands have different shapes."""


def require_rank(operator: Operator) -> None:
    """Refuse an operator whose tensors have more dimensions than its kernel takes.

    Raises:
        RefusalError: If they have.
    """
    present = [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None]
    rank = max((len(tensor.shape or ()) for tensor in present), default=0)
    most = _limit(operator, present)
    if rank > most:
        raise RefusalError(
            "RANK_LIMIT",
            f"LiteRT's {operator.code} takes at most {most} dimensions, and this has {rank}",
            f"reshape it to at most {most} dimensions where the model is made",
        )


def _limit(operator: Operator, present: list[Tensor]) -> int:
    code = operator.code
    if code in _BROADCASTING:
        return _KERNELS if len({tensor.shape for tensor in present}) > 1 else _UNLIMITED
    if code in ("PAD", "PADV2") and present[0].dtype == "float32" and present[0].is_static:
        return _XNNPACK
    return _MOST.get(code, _UNLIMITED)


_UNLIMITED = 1 << 10
