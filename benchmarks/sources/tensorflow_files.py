"""Saving Keras models and TensorFlow graphs in every form that TensorFlow has."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from sources.catalog import Source

__all__ = ["calibrate", "images", "randomize", "require_ordinary", "write"]

_SEED = 12
_SIZES = {"Xception": 71, "InceptionV3": 75}
_SIZE = 64
_WORDS = 200
v1 = tf.compat.v1


def write(source: Source, path: Path) -> None:
    """Write a source.

    Raises:
        ValueError: If an output says too little: constant, not finite, vanishing or huge.
    """
    keras.utils.set_random_seed(_SEED)
    if source.model in _GRAPHS:
        path.write_bytes(_GRAPHS[source.model]().as_graph_def().SerializeToString())
    elif source.model in _MODULES:
        module = _MODULES[source.model]()
        tf.saved_model.save(module, str(path), signatures=module.serve)
    else:
        model = _model(source.model)
        _FORMS[source.form](model, path)


def _model(name: str) -> Any:
    if name in _NETWORKS:
        model = _NETWORKS[name]()
        randomize(model)
        probe = model(_probe(model))
    else:
        size = _SIZES.get(name, _SIZE)
        build = getattr(keras.applications, name)
        head = {"include_top": False, "pooling": "avg"} if name == "VGG16" else {"classes": 10}
        model = build(weights=None, input_shape=(size, size, 3), **head)
        randomize(model)
        calibrate(model, size)
        probe = model(images(2, size), training=False)
    require_ordinary(name, np.asarray(probe))
    return model


def images(count: int, size: int) -> np.ndarray:
    """Return random images, [count, size, size, 3]."""
    return np.random.default_rng(_SEED).standard_normal((count, size, size, 3)).astype(np.float32)


def _probe(model: Any) -> np.ndarray:
    shape = [2, *(12 if dim is None else dim for dim in model.inputs[0].shape[1:])]
    random = np.random.default_rng(_SEED)
    if model.inputs[0].dtype == "int32":
        return random.integers(1, _WORDS, shape).astype(np.int32)
    return random.standard_normal(shape).astype(np.float32)


def randomize(model: Any) -> None:
    """Draw weights after He, scales around 1 and shifts around 0."""
    random = np.random.default_rng(_SEED)
    for weight in model.weights:
        name, shape = weight.path.rsplit("/", 1)[-1], tuple(weight.shape)
        if "moving" in name or "count" in name or "seed" in name or "normalization/" in weight.path:
            continue
        noise = random.standard_normal(shape).astype(np.float32)
        if len(shape) < 2:
            weight.assign((1.0 if name in ("gamma", "scale") else 0.0) + 0.1 * noise)
            continue
        inner = shape[:2] if "depthwise" in weight.path and len(shape) == 4 else shape[:-1]
        gain = 1.0 if "embedding" in weight.path else np.sqrt(2.0 / np.prod(inner))
        weight.assign(noise * np.float32(gain))


def calibrate(model: Any, size: int) -> None:
    """Let every batch norm take the statistics of random images."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    model(images(4, size), training=True)


def require_ordinary(name: str, output: np.ndarray) -> None:
    """Raise ``ValueError`` for an output that is constant, not finite, vanishing or huge."""
    largest, spread = float(np.abs(output).max()), float(output.std())
    if not (1e-3 < largest < 1e4 and spread > 1e-3 * largest):
        raise ValueError(f"{name}: an output reaches {largest:.3g} and spreads by {spread:.3g}")


def _recurrent_text(cell: Callable[[], Any]) -> Callable[[], Any]:
    def build() -> Any:
        tokens = keras.Input((20,), dtype="int32", name="tokens")
        x = layers.Embedding(_WORDS, 16)(tokens)
        x = cell()(x)
        return keras.Model(tokens, layers.Dense(5, name="label")(x))

    return build


def _series() -> Any:
    series = keras.Input((None, 4), name="series")
    x = layers.GRU(12, return_sequences=True)(series)
    return keras.Model(series, layers.Dense(2, name="next")(layers.GRU(8)(x)))


def _text_transformer() -> Any:
    tokens = keras.Input((24,), dtype="int32", name="tokens")
    x = layers.Embedding(_WORDS, 32)(tokens)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 8)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        hidden = layers.Dense(64, activation="gelu")(x)
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(32)(hidden)]))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(6, name="label")(x))


_NETWORKS: Mapping[str, Callable[[], Any]] = {
    "lstm-text": _recurrent_text(lambda: layers.LSTM(24)),
    "bilstm-text": _recurrent_text(lambda: layers.Bidirectional(layers.LSTM(16))),
    "gru-series": _series,
    "text-transformer": _text_transformer,
}


class _While(tf.Module):
    """A loop and a branch of a ``tf.function``."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(_SEED)
        self.matrix = tf.Variable(random.standard_normal((6, 6)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 6], tf.float32, name="x")])
    def serve(self, x: Any) -> Any:
        for _ in tf.range(4):
            x = tf.tanh(tf.matmul(x, self.matrix)) + 0.1 * x
        if tf.reduce_sum(x) > 0.0:
            x = 2.0 * x
        return {"y": x}


class _Variables(tf.Module):
    """Resource variables, gathered from and written nowhere."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(_SEED)
        self.table = tf.Variable(random.standard_normal((_WORDS, 8)).astype(np.float32))
        self.scale = tf.Variable(np.float32(1.5))

    @tf.function(input_signature=[tf.TensorSpec([None, 7], tf.int32, name="ids")])
    def serve(self, ids: Any) -> Any:
        rows = tf.gather(self.table, tf.math.floormod(ids, _WORDS))
        return {"mean": tf.reduce_mean(rows, axis=1) * self.scale}


_MODULES: Mapping[str, Callable[[], Any]] = {"tf-while": _While, "tf-variables": _Variables}


def _while_graph() -> Any:
    with tf.Graph().as_default() as graph:
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, [None, 5], name="x")
        w = tf.constant(np.random.default_rng(_SEED).standard_normal((5, 5)).astype(np.float32))
        _, y = v1.while_loop(
            lambda i, _: i < 6,
            lambda i, y: (i + 1, tf.tanh(tf.matmul(y, w)) + 0.1 * x),
            [tf.constant(0), x],
        )
        tf.identity(y, name="y")
    return graph


def _cond_graph() -> Any:
    with tf.Graph().as_default() as graph:
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, [2, 5], name="x")
        y = v1.cond(tf.reduce_sum(x) > 0.0, lambda: tf.exp(-tf.abs(x)), lambda: 3.0 * x)
        tf.identity(y, name="y")
    return graph


_GRAPHS: Mapping[str, Callable[[], Any]] = {"tf1-while": _while_graph, "tf1-cond": _cond_graph}


def _frozen(model: Any) -> Any:
    """Return a function of one sample whose variables are constants."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    spec = model.inputs[0]
    shape = [1, *(12 if dim is None else dim for dim in spec.shape[1:])]
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(shape, spec.dtype, name=spec.name))
    return convert_variables_to_constants_v2(concrete)


def _freeze(model: Any, path: Path) -> None:
    path.write_bytes(_frozen(model).graph.as_graph_def().SerializeToString())


def _convert(model: Any, path: Path, *, integers: bool = False) -> None:
    """Write a TFLite file for one sample, by TensorFlow's own converter."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_frozen(model)])
    if integers:
        sample = images(16, model.inputs[0].shape[1])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in sample)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())


_FORMS: Mapping[str, Callable[[Any, Path], None]] = {
    "keras": lambda model, path: model.save(path),
    "h5": lambda model, path: model.save(path),
    "saved-model": lambda model, path: model.export(str(path), verbose=False),
    "frozen": _freeze,
    "tflite": _convert,
    "tflite-int8": lambda model, path: _convert(model, path, integers=True),
}
