"""How an emitter says that TFLite cannot express a node."""

from __future__ import annotations

__all__ = ["RefusalError"]


class RefusalError(Exception):
    """TFLite cannot express a node, or its kernels get it wrong.

    Args:
        code: Stable upper-case reason code, such as ``UNSUPPORTED_DTYPE``.
        reason: Why, in one sentence.
        way_out: What the user can do about it.
    """

    def __init__(self, code: str, reason: str, way_out: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.way_out = way_out
