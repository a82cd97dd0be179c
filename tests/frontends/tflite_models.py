"""Writes the TFLite files of ``tflite_files/`` by TensorFlow's own converter.

Run it where TensorFlow is installed: ``python tests/frontends/tflite_models.py [FOLDER]``. The
files are committed, so that the tests need neither TensorFlow nor its ten seconds to start.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

RANDOM = np.random.default_rng(3)


def convnet() -> keras.Model:
    """Every kind of convolution and pooling of a classifier, with a branch that scales."""
    x = inputs = keras.Input((15, 12, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu6")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    s = layers.GlobalAveragePooling2D(keepdims=True)(y)
    s = layers.Conv2D(8, 1, activation="hard_sigmoid")(s)
    x = layers.Add()([x, layers.Multiply()([y, s])])
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(x)])
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(8, 3, dilation_rate=2, activation="relu")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="scores")(x))


def attention() -> keras.Model:
    """A transformer's block over embeddings."""
    ids = keras.Input((6,), dtype="int32", name="ids")
    x = layers.Embedding(50, 24)(ids)
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(y, y)])
    y = layers.Dense(48, activation="gelu")(layers.LayerNormalization()(x))
    x = layers.Add()([x, layers.Dense(24)(y)])
    return keras.Model(ids, [layers.Dense(3)(x), layers.GlobalMaxPooling1D()(x)])


def lstm() -> keras.Model:
    inputs = keras.Input((5, 4), batch_size=1, name="steps")
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(inputs)
    return keras.Model(inputs, layers.Dense(2)(layers.LSTM(5)(x)))


def gru() -> keras.Model:
    inputs = keras.Input((5, 4), batch_size=1, name="steps")
    return keras.Model(inputs, layers.Dense(2)(layers.GRU(5)(inputs)))


def seeded(model: keras.Model) -> keras.Model:
    """Give every weight an ordinary value; those of a fresh model are partly 0 and 1."""
    for weight in model.weights:
        values = RANDOM.standard_normal(weight.shape) * 0.3
        if "variance" in weight.path or "gamma" in weight.path:
            values = np.abs(values) + 0.5
        weight.assign(values.astype("float32"))
    return model


def samples(model: keras.Model) -> Iterator[list[np.ndarray]]:
    for _ in range(16):
        shape = [size or 1 for size in model.inputs[0].shape]
        yield [RANDOM.standard_normal(shape).astype("float32")]


def converted(model: keras.Model, form: str = "float") -> bytes:
    """Convert a model in one of the forms of TensorFlow's converter."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    sets = tf.lite.OpsSet
    if form != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form in ("int8", "int8-float-io", "int16x8"):
        converter.representative_dataset = lambda: samples(model)
    if form == "int8":
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    elif form == "int16x8":
        converter.target_spec.supported_ops = [
            sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    elif form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


class Functions(tf.Module):
    """Two signatures, control flow, and shapes that the input decides."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def halve(self, x):
        """Halve until all is small."""
        steps = tf.constant(0)
        while tf.reduce_max(tf.abs(x)) > 1.0:
            x = x * 0.5
            steps += 1
        return {"small": x, "steps": steps}

    @tf.function(
        input_signature=[
            tf.TensorSpec([3], tf.float32, name="a"),
            tf.TensorSpec([], tf.bool, name="up"),
        ]
    )
    def branch(self, a, up):
        """Take one of two ways."""
        y = tf.cond(up, lambda: tf.exp(a), lambda: tf.sin(a) - 1.0)
        return {"result": tf.concat([y, a], 0)}


def signatures(folder: Path) -> bytes:
    """A SavedModel keeps the signatures' names."""
    module = Functions()
    tf.saved_model.save(module, str(folder), {"halve": module.halve, "branch": module.branch})
    return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def flex() -> bytes:
    @tf.function(input_signature=[tf.TensorSpec([4, 4], tf.float32)])
    def function(x):
        return tf.linalg.inv(x) + tf.linalg.cholesky(x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    return converter.convert()


def main(folder: Path) -> None:
    import tempfile

    net = seeded(convnet())
    files = {
        f"convnet-{form}": converted(net, form)
        for form in ("float", "int8", "int8-float-io", "int16x8", "dynamic", "float16")
    }
    block = seeded(attention())
    files["attention-float"] = converted(block)
    files["attention-dynamic"] = converted(block, "dynamic")
    files["lstm"] = converted(seeded(lstm()))
    files["gru"] = converted(seeded(gru()))
    with tempfile.TemporaryDirectory() as scratch:
        files["signatures"] = signatures(Path(scratch))
    files["flex"] = flex()
    for name, data in files.items():
        (folder / f"{name}.tflite").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tflite_files"))
