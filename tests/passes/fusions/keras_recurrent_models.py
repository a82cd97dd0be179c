"""Unrolled recurrent layers as Keras writes them: ``keras_recurrent_models.py FOLDER``."""

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
    "LSTM_last": layers.LSTM(5, unroll=True),
    "LSTM_all": layers.LSTM(5, unroll=True, return_sequences=True),
    "LSTM_backwards": layers.LSTM(5, unroll=True, go_backwards=True),
    "GRU_last": layers.GRU(5, unroll=True),
    "GRU_all": layers.GRU(5, unroll=True, return_sequences=True),
    "GRU_before": layers.GRU(5, unroll=True, reset_after=False),
}


def main(folder: Path) -> None:
    random = np.random.default_rng(1)
    for name, layer in MODELS.items():
        x = keras.Input((4, 3))
        model = keras.Model(x, layer(x))
        for weight in model.weights:
            weight.assign(random.standard_normal(weight.shape).astype(np.float32))
        model.export(folder / name, verbose=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
