"""Which sources there are: an architecture and the form that it is saved in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True)
class Source:
    """One model in one form.

    Attributes:
        model: The architecture.
        form: What it is saved as; a key of :data:`SUFFIXES`.
    """

    model: str
    form: str

    @property
    def name(self) -> str:
        """Name in the table and of the file."""
        return f"{self.model}-{self.form}"

    @property
    def framework(self) -> str:
        """The framework that writes it."""
        return "torch" if self.form in ("pt2", "script") else "tensorflow"

    @property
    def file(self) -> str:
        """Name of the file or folder."""
        return self.name + SUFFIXES[self.form]


SUFFIXES: Mapping[str, str] = {
    "pt2": ".pt2",
    "script": ".pt",
    "saved-model": "",
    "keras": ".keras",
    "h5": ".h5",
    "frozen": ".pb",
    "tflite": ".tflite",
    "tflite-int8": ".tflite",
}
_PT2 = (
    "bert", "roberta", "deberta-v2", "modernbert", "gpt2", "llama", "qwen3", "mamba", "t5-encoder",
    "t5-decoder", "whisper-encoder", "whisper-decoder", "wav2vec2", "vit", "swin", "dinov2",
    "segformer", "detr", "yolos", "convnext", "resnet-bottleneck", "mobilenet-v2", "efficientnet",
    "unet", "clip-text", "bilstm-tagger",
)  # fmt: skip
_TRACED = (
    "bert", "gpt2", "vit", "swin", "convnext", "resnet-bottleneck", "mobilenet-v2", "segformer",
    "lstm-tagger", "crnn", "tabular",
)  # fmt: skip
_SCRIPTED = ("scripted-loop", "scripted-branches", "scripted-cells")
_KERAS = {
    "keras": (
        "MobileNet", "MobileNetV3Small", "EfficientNetB0", "DenseNet121", "lstm-text", "gru-series",
        "text-transformer",
    ),
    "saved-model": (
        "MobileNetV2", "ResNet50V2", "Xception", "InceptionV3", "bilstm-text", "text-transformer",
        "tf-while", "tf-variables",
    ),
    "h5": ("VGG16", "EfficientNetV2B0", "ConvNeXtTiny", "lstm-text"),
    "frozen": ("MobileNetV2", "tf1-while", "tf1-cond"),
    "tflite": (
        "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50V2", "lstm-text",
        "text-transformer",
    ),
    "tflite-int8": ("MobileNetV2", "ResNet50V2"),
}  # fmt: skip

SOURCES: tuple[Source, ...] = (
    *(Source(model, "pt2") for model in _PT2),
    *(Source(model, "script") for model in (*_TRACED, *_SCRIPTED)),
    *(Source(model, form) for form, models in _KERAS.items() for model in models),
)
"""Every source of the table."""
