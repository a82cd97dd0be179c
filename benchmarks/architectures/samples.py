"""The three networks by which the targets' speed, memory and error are stated, in full size."""

from __future__ import annotations

import torch
from transformers import (
    BertConfig,
    BertModel,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from architectures.registry import Network, architecture
from architectures.wrap import IMAGE, TEXT, image, network

__all__ = ["bert6_module", "mbv2_module", "resnet18_module", "text_inputs"]

_VOCABULARY = 30522


@architecture("resnet18")
def resnet18() -> Network:
    """ResNet-18 for images of 224 by 224."""
    inputs = {"pixel_values": image(224)}
    return network(resnet18_module(), inputs, ["logits"], {"pixel_values": IMAGE})


@architecture("mbv2")
def mbv2() -> Network:
    """MobileNetV2 for images of 224 by 224."""
    inputs = {"pixel_values": image(224)}
    return network(mbv2_module(), inputs, ["logits"], {"pixel_values": IMAGE})


@architecture("bert6")
def bert6() -> Network:
    """BERT of six layers, without a pooler, for 128 tokens."""
    dims = {"input_ids": TEXT, "attention_mask": TEXT}
    return network(bert6_module(), text_inputs(), ["last_hidden_state"], dims)


def resnet18_module() -> torch.nn.Module:
    """Return a ResNet-18 as it is initialized."""
    config = ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2],
        layer_type="basic", num_labels=1000,
    )  # fmt: skip
    return ResNetForImageClassification(config)


def mbv2_module() -> torch.nn.Module:
    """Return a MobileNetV2 as it is initialized."""
    return MobileNetV2ForImageClassification(MobileNetV2Config(tf_padding=False, num_labels=1000))


def bert6_module() -> torch.nn.Module:
    """Return a BERT of six layers as it is initialized."""
    return BertModel(BertConfig(num_hidden_layers=6), add_pooling_layer=False)


def text_inputs() -> dict[str, torch.Tensor]:
    """Return 128 tokens, of which the mask leaves a hundred."""
    generator = torch.Generator().manual_seed(2)
    mask = torch.ones(1, 128).long()
    mask[:, 100:] = 0
    tokens = torch.randint(0, _VOCABULARY, (1, 128), generator=generator)
    return {"input_ids": tokens, "attention_mask": mask}
