"""What a converter says where an operator has no ONNX form."""

from __future__ import annotations

__all__ = ["RefusalError"]


class RefusalError(Exception):
    """An operator that irconv cannot say in ONNX.

    Args:
        reason: Why, in one sentence.
        way_out: What the user can do about it.
    """

    def __init__(self, reason: str, way_out: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.way_out = way_out
