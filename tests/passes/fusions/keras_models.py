"""Small Keras models as SavedModels: ``keras_models.py FOLDER`` writes them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
from keras import layers

MODELS = {
    "layer_norm": (layers.LayerNormalization(), (3, 8)),
    "layer_norm_plain": (layers.LayerNormalization(center=False, scale=False), (3, 8)),
    "rms_norm": (layers.RMSNormalization(), (3, 8)),
    "gelu": (layers.Activation("gelu"), (8,)),
    "gelu_tanh": (layers.Activation(lambda x: keras.activations.gelu(x, approximate=True)), (8,)),
    "silu": (layers.Activation("silu"), (8,)),
    "mish": (layers.Activation("mish"), (8,)),
    "hard_swish": (layers.Activation("hard_silu"), (8,)),
    "hard_sigmoid": (layers.Activation("hard_sigmoid"), (8,)),
}


def main(folder: Path) -> None:
    random = np.random.default_rng(1)
    for name, (layer, shape) in MODELS.items():
        x = keras.Input(shape)
        model = keras.Model(x, layer(x))
        for weight in model.weights:
            weight.assign(random.standard_normal(weight.shape).astype(np.float32))
        model.export(folder / name, verbose=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
