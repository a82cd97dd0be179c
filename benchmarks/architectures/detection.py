"""Detection of objects."""

from __future__ import annotations

import transformers as hf

from architectures.registry import Network, architecture
from architectures.wrap import IMAGE, image, network


@architecture("detr")
def detr() -> Network:
    """DETR on a small ResNet."""
    backbone = hf.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 32, 64], depths=[1, 1, 1, 1],
        layer_type="basic", out_features=["stage4"],
    )  # fmt: skip
    config = hf.DetrConfig(
        use_timm_backbone=False, backbone_config=backbone, d_model=64, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=128, decoder_ffn_dim=128, num_queries=10, num_labels=5,
    )  # fmt: skip
    inputs = {"pixel_values": image(96)}
    return network(
        hf.DetrForObjectDetection(config), inputs, ["logits", "pred_boxes"], {"pixel_values": IMAGE}
    )


@architecture("yolos")
def yolos() -> Network:
    """YOLOS, detection by a plain vision transformer."""
    config = hf.YolosConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        image_size=[64, 64], patch_size=16, num_detection_tokens=10, num_labels=5,
    )  # fmt: skip
    inputs = {"pixel_values": image(64)}
    return network(
        hf.YolosForObjectDetection(config),
        inputs,
        ["logits", "pred_boxes"],
        {"pixel_values": IMAGE},
    )
