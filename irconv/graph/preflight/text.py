"""Whether the texts of a message are UTF-8, as ONNX and every writer demand.

Protobuf gives ``bytes`` in place of ``str`` for a text that is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irconv.graph.preflight.messages import damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_text"]

_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}


def check_text(message: Any, where: str) -> None:
    """Check the texts of one message and of its metadata, not of the messages within.

    Args:
        message: A protobuf message of ONNX.
        where: What it belongs to.

    Raises:
        InputError: If one of them is not UTF-8.
    """
    single, repeated = _fields(message)
    for name in single:
        if type(getattr(message, name)) is not str:
            raise damaged(f"{where}: a {name} is not UTF-8 text")
    for name in repeated:
        for text in getattr(message, name):
            if type(text) is not str:
                raise damaged(f"{where}: an {name} is not UTF-8 text")
    for entry in getattr(message, "metadata_props", ()):
        if type(entry.key) is not str or type(entry.value) is not str:
            raise damaged(f"{where}: its metadata is not UTF-8 text")


def _fields(message: Any) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names of the text fields of a message, single and repeated."""
    kind = message.DESCRIPTOR.name
    if kind not in _FIELDS:
        texts = [field for field in message.DESCRIPTOR.fields if field.type == field.TYPE_STRING]
        _FIELDS[kind] = (
            tuple(field.name for field in texts if not field.is_repeated),
            tuple(field.name for field in texts if field.is_repeated),
        )
    return _FIELDS[kind]
