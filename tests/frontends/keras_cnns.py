"""Networks of ``keras.applications`` as they are initialized.

Run as a script it saves them: ``keras_cnns.py FOLDER``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras

NAMES = ("MobileNetV2", "MobileNetV3Small", "ResNet50", "EfficientNetB0", "DenseNet121")


def main(folder: Path) -> None:
    for name in NAMES:
        build = getattr(keras.applications, name)
        model = build(weights=None, input_shape=(64, 64, 3), classes=10)
        model.save(folder / f"{name}.keras")
        keras.backend.clear_session()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
