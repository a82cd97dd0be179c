"""Transformers for images, and for images with text."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf

from architectures.registry import Network, architecture
from architectures.wrap import IMAGE, TEXT, VOCABULARY, ids, image, network

_VIT = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 128, "image_size": 64, "patch_size": 16,
}  # fmt: skip


def _vision(model: torch.nn.Module, *picks: str, size: int = 64) -> Network:
    picked = picks or ("logits",)
    return network(model, {"pixel_values": image(size)}, picked, {"pixel_values": IMAGE})


@architecture("vit")
def vit() -> Network:
    """ViT."""
    return _vision(hf.ViTForImageClassification(hf.ViTConfig(**_VIT)))


@architecture("deit")
def deit() -> Network:
    """DeiT, with a token for distillation."""
    return _vision(hf.DeiTForImageClassificationWithTeacher(hf.DeiTConfig(**_VIT)))


@architecture("beit")
def beit() -> Network:
    """BEiT, with relative positions."""
    config = hf.BeitConfig(**_VIT, use_relative_position_bias=True, attn_implementation="eager")
    return _vision(hf.BeitForImageClassification(config))


@architecture("dinov2")
def dinov2() -> Network:
    """DINOv2."""
    config = hf.Dinov2Config(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16
    )
    return _vision(hf.Dinov2Model(config), "last_hidden_state")


@architecture("swin")
def swin() -> Network:
    """Swin, with shifted windows."""
    config = hf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        attn_implementation="eager",
    )
    return _vision(hf.SwinForImageClassification(config))


@architecture("swinv2")
def swinv2() -> Network:
    """Swin of version 2, with cosine attention."""
    config = hf.Swinv2Config(
        image_size=64, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    return _vision(hf.Swinv2ForImageClassification(config))


@architecture("pvt")
def pvt() -> Network:
    """Pyramid vision transformer of version 2."""
    config = hf.PvtV2Config(
        image_size=64, hidden_sizes=[16, 32, 32, 64], depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 4],
    )  # fmt: skip
    return _vision(hf.PvtV2ForImageClassification(config))


@architecture("mobilevit")
def mobilevit() -> Network:
    """MobileViT, convolutions and attention in turn."""
    config = hf.MobileViTConfig(
        image_size=64, hidden_sizes=[24, 32, 40], neck_hidden_sizes=[8, 12, 16, 24, 32, 40, 64]
    )
    return _vision(hf.MobileViTForImageClassification(config))


@architecture("segformer")
def segformer() -> Network:
    """SegFormer, for segmentation."""
    config = hf.SegformerConfig(
        hidden_sizes=[16, 32, 32, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=32,
    )  # fmt: skip
    return _vision(hf.SegformerForSemanticSegmentation(config))


@architecture("dpt")
def dpt() -> Network:
    """DPT, for depth."""
    config = hf.DPTConfig(
        **(_VIT | {"num_hidden_layers": 4}), backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 32, 32], fusion_hidden_size=16,
    )  # fmt: skip
    return _vision(hf.DPTForDepthEstimation(config), "predicted_depth")


def _clip() -> Any:
    text = {
        "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 66,
        "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0,
    }  # fmt: skip
    return hf.CLIPTextConfig(**text), hf.CLIPVisionConfig(**_VIT)


@architecture("clip-text")
def clip_text() -> Network:
    """The text side of CLIP."""
    inputs = {"input_ids": ids(1, 16)}
    picks = ["last_hidden_state", "pooler_output"]
    return network(hf.CLIPTextModel(_clip()[0]), inputs, picks, {"input_ids": TEXT})


@architecture("clip-vision")
def clip_vision() -> Network:
    """The image side of CLIP."""
    return _vision(hf.CLIPVisionModel(_clip()[1]), "last_hidden_state", "pooler_output")


@architecture("siglip-vision")
def siglip_vision() -> Network:
    """The image side of SigLIP, pooled by attention."""
    config = hf.SiglipVisionConfig(**_VIT)
    return _vision(hf.SiglipVisionModel(config), "last_hidden_state", "pooler_output")
