"""Networks for images, in their published sizes."""

from __future__ import annotations

import torch
import transformers as hf
from architectures.registry import Network
from architectures.wrap import IMAGE, image, network

__all__ = ["convnext", "mobilenet_v2", "resnet50", "segformer", "swin", "vit", "yolos"]

_CLASSES = 1000


def _vision(model: torch.nn.Module, *picks: str, size: int = 224) -> Network:
    picked = picks or ("logits",)
    return network(model, {"pixel_values": image(size)}, picked, {"pixel_values": IMAGE})


def resnet50() -> Network:
    """ResNet-50."""
    return _vision(hf.ResNetForImageClassification(hf.ResNetConfig(num_labels=_CLASSES)))


def mobilenet_v2() -> Network:
    """MobileNetV2, with symmetric padding."""
    config = hf.MobileNetV2Config(tf_padding=False, num_labels=_CLASSES)
    return _vision(hf.MobileNetV2ForImageClassification(config))


def vit(attention: str = "eager") -> Network:
    """ViT-B/16 of six layers."""
    config = hf.ViTConfig(
        num_hidden_layers=6, num_labels=_CLASSES, attn_implementation=attention
    )  # fmt: skip
    return _vision(hf.ViTForImageClassification(config))


def swin() -> Network:
    """Swin-T."""
    config = hf.SwinConfig(num_labels=_CLASSES, attn_implementation="eager")
    return _vision(hf.SwinForImageClassification(config))


def convnext() -> Network:
    """ConvNeXt-T."""
    return _vision(hf.ConvNextForImageClassification(hf.ConvNextConfig(num_labels=_CLASSES)))


def segformer() -> Network:
    """SegFormer-B0, with torch's own attention function."""
    config = hf.SegformerConfig(num_labels=150)
    return _vision(hf.SegformerForSemanticSegmentation(config))


def yolos() -> Network:
    """YOLOS-Ti at another size than its positions were made for, which it therefore resizes."""
    config = hf.YolosConfig(
        hidden_size=192, num_attention_heads=3, intermediate_size=768, image_size=[224, 224],
        use_mid_position_embeddings=False, attn_implementation="eager",
    )  # fmt: skip
    return _vision(hf.YolosForObjectDetection(config), "logits", "pred_boxes", size=256)
