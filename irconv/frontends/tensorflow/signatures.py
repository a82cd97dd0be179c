"""Opening a signature of a SavedModel.

This module needs TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from irconv.errors import InputError
from irconv.frontends.factories import first_line
from irconv.frontends.tensorflow.source import Source, freeze, tensor_spec

__all__ = ["open_saved_model", "write_binary"]

_WHERE = "frontend tensorflow"


def open_saved_model(folder: Path, tags: Sequence[str], signature: str) -> Source:
    """Load a SavedModel, v1 or v2, and open one of its signatures.

    Raises:
        InputError: If TensorFlow cannot load it.
    """
    try:
        loaded = tf.saved_model.load(str(folder), tags=list(tags) or None)
        function = loaded.signatures[signature]
    except Exception as error:
        raise InputError(
            f"TensorFlow {tf.__version__} cannot load the SavedModel: {first_line(error)}",
            where=_WHERE,
            hint="save it again with this version of TensorFlow; custom operators are not loaded",
        ) from error
    given = dict(sorted(function.structured_input_signature[1].items()))
    names = tuple(given)
    outputs = tuple(sorted(function.structured_outputs))

    def call(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        result: dict[str, Any] = loaded.signatures[signature](
            **dict(zip(names, tensors, strict=True))
        )
        return [result[name] for name in outputs]

    return Source(
        tuple(tensor_spec(name, spec) for name, spec in given.items()),
        outputs,
        call,
        lambda: freeze(function),
        [f"signature {signature!r} was read"],
    )


def write_binary(text: Path, path: Path) -> None:
    """Write a ``saved_model.pbtxt`` in TensorFlow's binary form; nothing in it runs.

    Raises:
        InputError: If it is none.
    """
    from google.protobuf import text_format  # type: ignore[import-untyped]
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        message = text_format.Parse(text.read_bytes(), SavedModel())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(
            f"{text.name} is no SavedModel in text form: {first_line(error)}",
            where=_WHERE,
            hint="save the model again",
        ) from error
    path.write_bytes(message.SerializeToString())
