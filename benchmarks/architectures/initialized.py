"""The three sample networks with the weights that a fresh initialization gives them.

Scales of norms are one and shifts zero, so that numbers stay small and errors as well: these are
the samples on which the errors of other converters were measured. MobileNetV2 alone is drawn
after He, as its own initialization fades to 1e-22.
"""

from __future__ import annotations

import torch

from architectures.registry import Network, architecture
from architectures.samples import bert6_module, mbv2_module, resnet18_module, text_inputs
from architectures.wrap import IMAGE, TEXT, image, plain

__all__: list[str] = []


@architecture("resnet18-default")
def resnet18() -> Network:
    """ResNet-18 as transformers initializes it."""
    inputs = {"pixel_values": image(224)}
    return plain(resnet18_module(), inputs, ["logits"], {"pixel_values": IMAGE})


@architecture("mbv2-default")
def mbv2() -> Network:
    """MobileNetV2 with kernels after He and batch norms that are the identity."""
    model = mbv2_module()
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    return plain(model, {"pixel_values": image(224)}, ["logits"], {"pixel_values": IMAGE})


@architecture("bert6-default")
def bert6() -> Network:
    """BERT of six layers as transformers initializes it."""
    dims = {"input_ids": TEXT, "attention_mask": TEXT}
    return plain(bert6_module(), text_inputs(), ["last_hidden_state"], dims)
