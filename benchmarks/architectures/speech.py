"""Networks for sound."""

from __future__ import annotations

import torch
import transformers as hf

from architectures.registry import Network, architecture
from architectures.wrap import network

_SIZES = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 128,
}  # fmt: skip
_WAVE = _SIZES | {
    "conv_dim": (32, 32, 32), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3),
    "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


def _wave() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {"input_values": torch.randn(1, 1600, generator=generator)}


@architecture("wav2vec2")
def wav2vec2() -> Network:
    """Wav2Vec2, over the wave itself."""
    model = hf.Wav2Vec2Model(hf.Wav2Vec2Config(**_WAVE))
    return network(model, _wave(), ["last_hidden_state"], {"input_values": {0: "batch"}})


@architecture("hubert")
def hubert() -> Network:
    """HuBERT, with layer norms between convolutions."""
    config = hf.HubertConfig(**_WAVE, feat_extract_norm="layer", do_stable_layer_norm=True)
    model = hf.HubertModel(config)
    return network(model, _wave(), ["last_hidden_state"], {"input_values": {0: "batch"}})


@architecture("audio-spectrogram-transformer")
def audio_spectrogram_transformer() -> Network:
    """The audio spectrogram transformer."""
    config = hf.ASTConfig(**_SIZES, max_length=64, num_mel_bins=32)
    generator = torch.Generator().manual_seed(8)
    inputs = {"input_values": torch.randn(1, 64, 32, generator=generator)}
    model = hf.ASTForAudioClassification(config)
    return network(model, inputs, ["logits"], {"input_values": {0: "batch"}})
