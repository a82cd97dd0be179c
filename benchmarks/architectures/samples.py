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

_VOCABULARY = 30522


@architecture("resnet18")
def resnet18() -> Network:
    """ResNet-18 for images of 224 by 224."""
    config = ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2],
        layer_type="basic", num_labels=1000,
    )  # fmt: skip
    model = ResNetForImageClassification(config)
    return network(model, {"pixel_values": image(224)}, ["logits"], {"pixel_values": IMAGE})


@architecture("mbv2")
def mbv2() -> Network:
    """MobileNetV2 for images of 224 by 224."""
    model = MobileNetV2ForImageClassification(MobileNetV2Config(tf_padding=False, num_labels=1000))
    return network(model, {"pixel_values": image(224)}, ["logits"], {"pixel_values": IMAGE})


@architecture("bert6")
def bert6() -> Network:
    """BERT of six layers, without a pooler, for 128 tokens."""
    model = BertModel(BertConfig(num_hidden_layers=6), add_pooling_layer=False)
    generator = torch.Generator().manual_seed(2)
    mask = torch.ones(1, 128).long()
    mask[:, 100:] = 0
    tokens = torch.randint(0, _VOCABULARY, (1, 128), generator=generator)
    inputs = {"input_ids": tokens, "attention_mask": mask}
    dims = {"input_ids": TEXT, "attention_mask": TEXT}
    return network(model, inputs, ["last_hidden_state"], dims)
