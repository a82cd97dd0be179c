"""Networks of ``keras.applications``, channels last, on Keras 3 with the torch backend."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

from architectures.registry import Network, architecture

_SEED = 12


def _randomize(model: Any, size: int) -> None:
    """Draw weights after He; let every batch norm take the statistics of random images."""
    rng = np.random.default_rng(_SEED)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            continue
        for weight in layer.weights:
            weight.assign(_drawn(weight, rng))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    images = rng.standard_normal((4, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        model(images, training=True)


def _drawn(weight: Any, rng: np.random.Generator) -> np.ndarray:
    name, shape = weight.path.rsplit("/", 1)[-1], tuple(weight.shape)
    if "moving" in name or "count" in name or "state" in name:
        return weight.numpy()
    noise = rng.standard_normal(shape).astype(np.float32)
    if len(shape) < 2:
        centre = 1.0 if name in ("gamma", "scale") else 0.0
        return centre + 0.1 * noise
    inner = shape[:2] if "depthwise" in weight.path and len(shape) == 4 else shape[:-1]
    return noise * np.sqrt(2.0 / np.prod(inner)).astype(np.float32)


def _application(build: Callable[..., Any], size: int = 64, **options: Any) -> Network:
    keras.utils.set_random_seed(_SEED)
    keras.backend.clear_session()
    model = build(weights=None, input_shape=(size, size, 3), **options)
    _randomize(model, size)
    model.eval()
    generator = torch.Generator().manual_seed(_SEED)
    inputs = {"image": torch.randn(1, size, size, 3, generator=generator)}
    return Network(model, inputs, ("scores",), {"image": {0: "batch"}})


def _register(name: str, application: str, size: int = 64, **options: Any) -> None:
    build = getattr(keras.applications, application)

    @architecture(name)
    def _() -> Network:
        return _application(build, size, **options)


_TOP = {"classes": 10}
_BODY = {"include_top": False, "pooling": "avg"}
_register("keras-vgg16", "VGG16", **_BODY)
_register("keras-xception", "Xception", size=71, **_TOP)
_register("keras-densenet121", "DenseNet121", **_TOP)
_register("keras-inception-v3", "InceptionV3", size=75, **_TOP)
_register("keras-resnet50-v2", "ResNet50V2", **_TOP)
_register("keras-mobilenet", "MobileNet", alpha=0.25, **_TOP)
_register("keras-mobilenet-v2", "MobileNetV2", alpha=0.35, **_TOP)
_register("keras-mobilenet-v3-small", "MobileNetV3Small", **_TOP)
_register("keras-efficientnet-b0", "EfficientNetB0", **_TOP)
_register("keras-efficientnet-v2-b0", "EfficientNetV2B0", **_TOP)
_register("keras-convnext-tiny", "ConvNeXtTiny", **_TOP)
