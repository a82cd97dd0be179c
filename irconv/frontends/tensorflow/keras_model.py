"""Opening a Keras model: from a file, or as a factory returns it.

This module needs Keras and TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from irconv.errors import InputError
from irconv.frontends.factories import call_factory, first_line, user_line
from irconv.frontends.names import leaf_name
from irconv.frontends.tensorflow.source import Source, freeze, tensor_spec
from irconv.runtime.base import TensorSpec
from irconv.shapes import InputSpec

__all__ = ["build_model", "load_model", "open_model"]

_WHERE = "frontend tensorflow"


def load_model(path: Path, *, trust: bool) -> keras.Model:
    """Load a ``.keras`` or ``.h5`` file.

    Args:
        path: A file that irconv judged, or any under ``trust``.
        trust: Whether code in it may run.

    Raises:
        InputError: If Keras cannot read it.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        raise InputError(
            f"Keras {keras.__version__} cannot read the model: {first_line(error)}",
            where=_WHERE,
            hint="save it with this version of Keras; a model with classes of your own is read "
            "as --trust module:factory with --frontend tensorflow",
        ) from error


def build_model(target: str) -> keras.Model:
    """Call a factory that returns a Keras model.

    Raises:
        InputError: If it fails or returns something else.
    """
    model = call_factory(target, where=_WHERE, returns="a Keras model")
    if not isinstance(model, keras.Model):
        raise InputError(
            f"{target} returned a {type(model).__name__}, not a Keras model",
            where=_WHERE,
            hint="return a keras.Model",
        )
    return model


def open_model(model: keras.Model, stated: Sequence[InputSpec]) -> Source:
    """Find a model's inputs and outputs and trace it for inference.

    Args:
        model: The model.
        stated: Inputs as the user states them; needed where the model does not know its own.

    Raises:
        InputError: If the inputs are not known, or the model cannot be traced.
    """
    inputs = _known_inputs(model)
    specs = _stated_inputs(model, stated) if inputs is None else inputs
    call = _caller(model, [spec.name for spec in specs], known=inputs is not None)
    names: list[str] = []

    def flat(*tensors: tf.Tensor) -> list[tf.Tensor]:
        leaves = list(_leaves(call(tensors)))
        names[:] = _output_names(model, [path for path, _ in leaves])
        return [leaf for _, leaf in leaves]

    signature = [
        tf.TensorSpec(spec.shape, spec.dtype, name=f"input_{index}")
        for index, spec in enumerate(specs)
    ]
    try:
        function = tf.function(flat, input_signature=signature, autograph=False)
        concrete = function.get_concrete_function()
    except Exception as error:
        raise InputError(
            f"the Keras model cannot be traced: {first_line(error)}",
            where=user_line(error, _WHERE),
            hint="the model must take the inputs that it states, and return tensors",
        ) from error
    return Source(
        tuple(specs),
        tuple(names),
        lambda tensors: [leaf for _, leaf in _leaves(call(tuple(tensors)))],
        lambda: freeze(concrete),
    )


def _known_inputs(model: keras.Model) -> list[TensorSpec] | None:
    """Return the inputs of a model that knows its own: a functional or a built sequential one."""
    try:
        tensors = list(model.inputs or ())
    except AttributeError:
        return None
    if not tensors:
        return None
    odd = [tensor.name for tensor in tensors if getattr(tensor, "sparse", False)]
    if odd:
        raise InputError(
            f"input {odd[0]!r} is sparse, which ONNX does not know",
            where=_WHERE,
            hint="save the model with dense inputs",
        )
    return [tensor_spec(tensor.name, tensor) for tensor in tensors]


def _stated_inputs(model: keras.Model, stated: Sequence[InputSpec]) -> list[TensorSpec]:
    if not stated:
        raise InputError(
            f"the Keras model {model.name!r} does not know its own inputs, and none are stated",
            where="--input",
            hint="state each input, for example --input 'x[batch,224,224,3]{f32}'",
        )
    return [
        TensorSpec(
            spec.name,
            spec.dtype or "float32",
            tuple(dim if isinstance(dim, int) else None for dim in spec.dims),
        )
        for spec in stated
    ]


def _caller(
    model: keras.Model, names: Sequence[str], *, known: bool
) -> Callable[[Sequence[tf.Tensor]], Any]:
    """Return a function that calls the model for inference on flat tensors."""
    arguments = list(inspect.signature(model.call).parameters.values())
    takes_training = any(
        item.name == "training" or item.kind == item.VAR_KEYWORD for item in arguments
    )
    options = {"training": False} if takes_training or known else {}
    by_keyword = set(names) <= {item.name for item in arguments}

    def call(tensors: Sequence[tf.Tensor]) -> Any:
        if known and not isinstance(model, keras.Sequential):
            return model(keras.tree.pack_sequence_as(model.input, list(tensors)), **options)
        if len(tensors) == 1:
            return model(tensors[0], **options)
        named = dict(zip(names, tensors, strict=True))
        return model(**named, **options) if by_keyword else model(named, **options)

    return call


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, tf.Tensor]]:
    """Yield path and tensor of every leaf of what a model returns, in its order."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        fields: Sequence[str | int] = getattr(value, "_fields", range(len(value)))
        for key, item in zip(fields, value, strict=True):
            yield from _leaves(item, (*path, key))
    elif value is not None:
        yield path, tf.convert_to_tensor(value)


def _output_names(model: keras.Model, paths: Sequence[tuple[str | int, ...]]) -> list[str]:
    """Name outputs by the keys of a dictionary, else by the layers that give them."""
    known = list(getattr(model, "output_names", ()))
    if not known and isinstance(model, keras.Sequential):
        known = [model.layers[-1].name]
    by_layer = len(known) == len(paths) and all(
        not path or isinstance(path[0], int) for path in paths
    )
    wanted = known if by_layer else [leaf_name(path) for path in paths]
    names: list[str] = []
    for name in wanted:
        count, free = 0, name
        while free in names:
            count += 1
            free = f"{name}_{count}"
        names.append(free)
    return names
