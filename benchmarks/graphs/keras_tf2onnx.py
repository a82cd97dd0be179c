"""Keras networks by tf2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sources.tensorflow_files import calibrate, images, randomize, require_ordinary  # isort: skip
import keras
import numpy as np
import tensorflow as tf
import tf2onnx.optimizer
from keras import layers

from graphs.check import compare
from irconv.runtime.values import save_samples

__all__ = ["write"]

_OPSET = 17
_SIZE, _WORDS, _STEPS, _WIDTH, _LAYERS = 224, 2000, 64, 256, 4


def write(name: str, path: Path) -> None:
    """Write a network whose batch may vary.

    Raises:
        ValueError: If the file does not compute what the network does.
    """
    keras.utils.set_random_seed(0)
    if name in _CHANNELS_LAST:
        tf2onnx.optimizer._optimizers.pop("optimize_transpose")
    model, feed = _NETWORKS[name]()
    expected = np.asarray(model(feed, training=False))
    require_ordinary(name, expected)
    spec = tf.TensorSpec([None, *feed.shape[1:]], feed.dtype, name="x")
    function = tf.function(lambda x: model(x, training=False))
    proto, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=_OPSET)
    path.write_bytes(proto.SerializeToString())
    compare(path, {"x": feed}, [expected])
    save_samples(path.with_suffix(".npz"), [{"x": feed[:1]}, {"x": feed}])


def _mobilenet() -> tuple[Any, np.ndarray]:
    model = keras.applications.MobileNetV3Small(weights=None, input_shape=(_SIZE, _SIZE, 3))
    randomize(model)
    calibrate(model, _SIZE)
    return model, images(2, _SIZE)


def _gelu(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


def _transformer() -> tuple[Any, np.ndarray]:
    tokens = keras.Input((_STEPS,), dtype="int32", name="tokens")
    x = layers.Embedding(_WORDS, _WIDTH)(tokens)
    for _ in range(_LAYERS):
        attended = layers.MultiHeadAttention(4, _WIDTH // 4)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        hidden = layers.Dense(4 * _WIDTH, activation=_gelu)(x)
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(_WIDTH)(hidden)]))
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(tokens, layers.Dense(6, name="label")(x))
    randomize(model)
    shape = (2, _STEPS)
    return model, np.random.default_rng(0).integers(1, _WORDS, shape).astype(np.int32)


_CHANNELS_LAST = ("mobilenet-v3",)
"""Written with all their transposes: tf2onnx's own optimizer stops with an error when a scale or
shift is zero, as in a new network, and then leaves them in."""
_NETWORKS = {"mobilenet-v3": _mobilenet, "text-transformer": _transformer}
