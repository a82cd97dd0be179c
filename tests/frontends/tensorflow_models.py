"""Small TensorFlow and Keras models of every form, as the frontend's tests read them.

Run as a script it writes all of them: ``tensorflow_models.py FOLDER``. Its factories are also
loaded by name.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

v1 = tf.compat.v1


def shaken(model, seed=1):
    """Give every weight a value that is neither zero nor one, variances positive ones."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        scale = 1.0 / np.sqrt(max(1, np.prod(weight.shape[:-1])))
        values = random.standard_normal(weight.shape) * scale
        if "variance" in weight.path:
            values = random.uniform(0.5, 2.0, weight.shape)
        elif "gamma" in weight.path:
            values = random.uniform(0.5, 1.5, weight.shape)
        weight.assign(values.astype(weight.dtype))
    return model


def cnn():
    """NHWC convolutions, depthwise too, batch normalization, pooling, two outputs."""
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", strides=2)(image)
    x = layers.BatchNormalization()(x)
    skip = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, padding="same")(skip)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("swish")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.Add()([x, skip])
    x = layers.MaxPooling2D()(x)
    mask = layers.UpSampling2D(2, interpolation="bilinear")(x)
    mask = layers.Conv2D(1, 1, activation="sigmoid", name="mask")(mask)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    label = layers.Dense(5, activation="softmax", name="label")(x)
    return shaken(keras.Model(image, {"label": label, "mask": mask}, name="cnn"))


def block():
    """Dense layers and a normalization over channels between convolutions, as in ConvNeXt."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(6, 2, strides=2)(image)
    for _ in range(2):
        y = layers.DepthwiseConv2D(3, padding="same")(x)
        y = layers.LayerNormalization(epsilon=1e-6)(y)
        y = layers.Dense(12, activation="gelu")(y)
        y = layers.Dense(6)(y)
        x = layers.Add()([x, y])
    head = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x))
    return shaken(keras.Model(image, head))


def words():
    """Two inputs of the same dynamic length, an embedding and attention."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    weight = keras.Input((None,), name="weight")
    x = layers.Embedding(20, 8)(ids)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.LayerNormalization()(x)
    x = layers.Multiply()([x, layers.Reshape((-1, 1))(weight)])
    hidden = layers.Dense(6, activation="gelu", name="hidden")(x)
    score = layers.Dense(2, name="score")(layers.GlobalMaxPooling1D()(hidden))
    return shaken(keras.Model([ids, weight], [score, hidden], name="words"))


def recurrent(cell):
    """A model of one recurrent layer, with a mask and its state."""
    x = keras.Input((None, 5), name="x")
    y = cell(x)
    outputs = list(y) if isinstance(y, (list, tuple)) else y
    return shaken(keras.Model(x, outputs))


def lstm():
    return recurrent(layers.LSTM(4, return_sequences=True, return_state=True))


def gru():
    return recurrent(layers.GRU(4, return_sequences=True))


def gru_before():
    return recurrent(layers.GRU(4, reset_after=False))


def bidirectional():
    return recurrent(layers.Bidirectional(layers.LSTM(4, return_sequences=True)))


def bigru():
    return recurrent(layers.Bidirectional(layers.GRU(3), merge_mode="sum"))


def stacked():
    x = keras.Input((7,), dtype="int32", name="tokens")
    y = layers.Embedding(30, 6, mask_zero=True)(x)
    y = layers.LSTM(5, return_sequences=True, go_backwards=True)(y)
    y = layers.SimpleRNN(3)(y)
    return shaken(keras.Model(x, y))


def odd():
    """Layers whose nodes tf2onnx writes in a form that ONNX does not know or takes differently."""
    x = keras.Input((6, 6, 2), name="x")
    grown = layers.Conv2DTranspose(3, 3, strides=2, output_padding=1, name="grown")(x)
    resized = layers.Resizing(10, 7, name="resized")(x)
    nearest = layers.Resizing(10, 7, interpolation="nearest", name="nearest")(x)
    first = layers.Flatten()(x)[:, :3]
    hot = keras.ops.one_hot(keras.ops.cast(first * 2.0, "int32"), 4)
    places = keras.ops.argmax(first, axis=-1, keepdims=True)
    bins = layers.Discretization([-0.5, 0.0, 0.7], name="bins")(first)
    outputs = {"grown": grown, "resized": resized, "nearest": nearest, "hot": hot, "bins": bins}
    return shaken(keras.Model(x, outputs | {"places": places}))


def shifted():
    """A convolution without a bias, and a scalar that is added to it, as in a hard swish."""
    x = keras.Input((8, 8, 3), name="x")
    y = layers.Conv2D(4, 3, use_bias=False)(x)
    y = y * keras.ops.relu6(y + 3.0)
    return shaken(keras.Model(x, layers.Conv2D(2, 3, name="y")(y)))


def sequential():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="elu", name="dense")])
    return shaken(model)


def unbuilt():
    return keras.Sequential([layers.Dense(3)])


class Subclassed(keras.Model):
    """A model whose code is not in the file."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, x, training=False):
        y = self.dense(x)
        return {"doubled": y * (3.0 if training else 2.0), "plain": y}


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 4), np.float32))
    return shaken(model)


def raises():
    raise RuntimeError("no weights today")


def number():
    return 3


class Signatures(tf.Module):
    """Resource variables, two signatures, control flow."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(2)
        self.w = tf.Variable(random.standard_normal((4, 3)), dtype=tf.float32, name="w")
        self.table = tf.Variable(random.standard_normal((6, 4)), dtype=tf.float32, name="table")
        self.calls = tf.Variable(0, dtype=tf.int32, name="calls")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 4], tf.float32, name="zebra"),
            tf.TensorSpec([None], tf.int64, name="apple"),
        ]
    )
    def serve(self, zebra, apple):
        rows = tf.gather(self.table, apple)
        return {"sum": tf.matmul(zebra + rows, self.w), "arg": tf.argmax(rows, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="n")])
    def power(self, n):
        x = tf.eye(4)
        for _ in tf.range(n):
            x = tf.matmul(x, self.table[:4]) / 2.0
        if tf.reduce_sum(x) > 1.0:
            x = -x
        return {"power": x}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def same(self, x):
        return {"x": x + 1.0, "y": x}

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, name="x")])
    def count(self, x):
        self.calls.assign_add(1)
        return {"y": x + tf.cast(self.calls, tf.float32)}


def write_saved_models(folder):
    module = Signatures()
    tf.saved_model.save(
        module,
        str(folder / "signatures"),
        signatures={
            "serving_default": module.serve,
            "power": module.power,
            "same": module.same,
        },
    )
    tf.saved_model.save(module, str(folder / "counting"), signatures=module.count)
    tf.saved_model.save(
        module,
        str(folder / "two"),
        signatures={"a": module.serve, "b": module.power},
    )
    cnn().export(str(folder / "cnn"), verbose=False)
    write_text_form(folder / "two", folder / "text")


def write_text_form(source, folder):
    """The first signature of a SavedModel alone, with its program in text form."""
    shutil.copytree(source, folder)
    program = folder / "saved_model.pb"
    message = SavedModel.FromString(program.read_bytes())
    del message.meta_graphs[0].signature_def["b"]
    (folder / "saved_model.pbtxt").write_text(str(message))
    program.unlink()


def while_graph():
    """A TF1 while loop with an accumulator of changing values; not a function."""
    with tf.Graph().as_default() as graph, graph.as_default():
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        n = v1.placeholder(tf.int32, [], name="n")
        w = tf.constant(np.random.default_rng(3).standard_normal((3, 3)), tf.float32)
        _, y = v1.while_loop(
            lambda i, _: i < n,
            lambda i, y: (i + 1, tf.tanh(tf.matmul(y, w)) + x),
            [tf.constant(0), x],
        )
        big = tf.reduce_sum(y) > 0.0
        tf.identity(v1.cond(big, lambda: y * 2.0, lambda: y - 1.0), name="result")
    return graph


def convolution_graph():
    """A TF1 convolution with fixed sizes and two outputs that nobody reads."""
    random = np.random.default_rng(4)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [1, 8, 8, 3], name="input/image")
        k = tf.constant(random.standard_normal((3, 3, 3, 4)), tf.float32)
        y = tf.nn.conv2d(x, k, 1, "SAME", name="conv")
        b = tf.constant(random.standard_normal(4), tf.float32)
        tf.nn.relu(tf.nn.bias_add(y, b), name="relu")
        tf.nn.softmax(tf.reduce_mean(y, [1, 2]), name="probabilities")
    return graph


def lacking_graph():
    """Operators that tf2onnx does not know, and a function that TensorFlow does not inline."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        some = tf.nn.relu(x)
        tf.raw_ops.Erfc(x=x, name="erfc")
        tf.raw_ops.Log1p(x=tf.exp(x), name="log1p")
        tf.raw_ops.Expm1(x=x, name="expm1")
        tf.raw_ops.Xlogy(x=some, y=some, name="xlogy")
        tf.raw_ops.Xdivy(x=some, y=some + x, name="xdivy")
        tf.raw_ops.MulNoNan(x=1.0 / some, y=some + x * some, name="mul_no_nan")
        tf.raw_ops.L2Loss(t=x, name="l2")
        tf.identity(tf.function(lambda y: tf.sin(y) * 2.0, jit_compile=True)(x), name="called")
    return graph


def untranslated_graph():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [2], name="x")
        tf.raw_ops.BesselI0e(x=x, name="bessel")
        tf.raw_ops.Digamma(x=x, name="digamma")
    return graph


def brain_float_graph():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [2], name="x")
        tf.cast(tf.cast(x, tf.bfloat16, name="narrow"), tf.float32, name="y")
    return graph


def write_frozen(folder):
    graphs = {
        "while": while_graph(),
        "convolution": convolution_graph(),
        "lacking": lacking_graph(),
        "untranslated": untranslated_graph(),
        "brain_float": brain_float_graph(),
    }
    for name, graph in graphs.items():
        (folder / f"{name}.pb").write_bytes(graph.as_graph_def().SerializeToString())


def write_v1(folder):
    """A v1 SavedModel with reference variables, a TF1 loop, and training ops beside them."""
    v1.disable_control_flow_v2()
    for name, resource in (("v1", False), ("v1_resource", True)):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 4], name="x")
            w = v1.get_variable(
                "w",
                initializer=np.random.default_rng(5).standard_normal((4, 4)).astype("f"),
                use_resource=resource,
            )
            _, y = v1.while_loop(
                lambda i, _: i < 3, lambda i, y, w=w: (i + 1, tf.sin(tf.matmul(y, w))), [0, x]
            )
            loss = tf.reduce_mean(tf.square(y))
            v1.train.AdamOptimizer().minimize(loss)
            session.run(v1.global_variables_initializer())
            builder = v1.saved_model.builder.SavedModelBuilder(str(folder / name))
            signature = v1.saved_model.signature_def_utils.predict_signature_def
            builder.add_meta_graph_and_variables(
                session,
                ["serve"],
                {"serving_default": signature({"features": x}, {"scores": y})},
            )
            builder.save()
    v1.enable_control_flow_v2()


def write_keras(folder):
    for make in (
        cnn, block, words, lstm, gru, gru_before, bidirectional, bigru, stacked, shifted,
        sequential, subclassed, odd,
    ):  # fmt: skip
        make().save(folder / f"{make.__name__}.keras")
    cnn().save(folder / "cnn.h5")
    words().save(folder / "words.h5")
    cnn().save_weights(folder / "only.weights.h5")


class Writer(tf.saved_model.experimental.TrackableResource):
    """A resource that writes a file as soon as a model that holds it is loaded."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def _create_resource(self):
        return tf.raw_ops.HashTableV2(
            key_dtype=tf.string, value_dtype=tf.int64, shared_name=self.path
        )

    def _initialize(self):
        tf.io.write_file(self.path, "written")


class Hostile(tf.Module):
    """Does something beside computing."""

    def __init__(self, act):
        super().__init__()
        self.act = act
        self.w = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, name="x")])
    def serve(self, x):
        with tf.control_dependencies([self.act()]):
            return {"y": x * self.w}


def write_hostile_saved_models(folder, markers):
    path = str(markers / "in_signature")
    module = Hostile(lambda: tf.io.write_file(path, "written"))
    tf.saved_model.save(module, str(folder / "in_signature"), signatures=module.serve)
    module = Hostile(tf.no_op)
    module.resource = Writer(str(markers / "while_loading"))
    tf.saved_model.save(module, str(folder / "while_loading"), signatures=module.serve)
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [2], name="x")
        signature = v1.saved_model.signature_def_utils.predict_signature_def
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder / "v1_main_op"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature({"x": x}, {"y": x + 1.0})},
            main_op=tf.io.write_file(str(markers / "v1_main_op"), "written"),
        )
        builder.save()


def write_hostile_graphs(folder, markers):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [2], name="x")
        with tf.control_dependencies([tf.io.write_file(str(markers / "write.pb"), "written")]):
            tf.identity(x, name="y")
    (folder / "write.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [2], name="x")
        (y,) = v1.py_func(lambda value: value, [x], [tf.float32], name="call")
        tf.identity(y, name="y")
    (folder / "python.pb").write_bytes(graph.as_graph_def().SerializeToString())


def write_hostile_keras(folder, markers):
    for name in ("lambda.keras", "lambda.h5"):
        x = keras.Input((2,))
        code = f"lambda x: (__import__('pathlib').Path({str(markers / name)!r}).touch(), x)[1]"
        y = layers.Lambda(eval(code), output_shape=(2,))(x)
        keras.Model(x, y).save(folder / name)
        (markers / name).unlink(missing_ok=True)


def write_hostile(folder):
    hostile, markers = folder / "hostile", folder / "markers"
    hostile.mkdir()
    markers.mkdir()
    write_hostile_saved_models(hostile, markers)
    write_hostile_graphs(hostile, markers)
    write_hostile_keras(hostile, markers)


def main(folder):
    write_keras(folder)
    write_saved_models(folder)
    write_frozen(folder)
    write_v1(folder)
    write_hostile(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
