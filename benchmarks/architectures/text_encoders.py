"""Encoders of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

from architectures.registry import Network, architecture
from architectures.wrap import TEXT, VOCABULARY, ids, network

_SEQUENCE = 16
_SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 66,
}  # fmt: skip


def _encoder(config: Any, model: Callable[[Any], torch.nn.Module]) -> Network:
    mask = torch.ones(1, _SEQUENCE).long()
    mask[:, -4:] = 0
    inputs = {"input_ids": ids(1, _SEQUENCE), "attention_mask": mask}
    dims = {"input_ids": TEXT, "attention_mask": TEXT}
    return network(model(config), inputs, ["last_hidden_state"], dims)


@architecture("bert")
def bert() -> Network:
    """BERT."""
    return _encoder(hf.BertConfig(**_SIZES), hf.BertModel)


@architecture("roberta")
def roberta() -> Network:
    """RoBERTa, which counts positions from the padding."""
    return _encoder(hf.RobertaConfig(**_SIZES), hf.RobertaModel)


@architecture("distilbert")
def distilbert() -> Network:
    """DistilBERT."""
    config = hf.DistilBertConfig(
        vocab_size=VOCABULARY, dim=64, n_layers=2, n_heads=4, hidden_dim=128,
        max_position_embeddings=66,
    )  # fmt: skip
    return _encoder(config, hf.DistilBertModel)


@architecture("albert")
def albert() -> Network:
    """ALBERT, whose layers share weights."""
    return _encoder(hf.AlbertConfig(**_SIZES, embedding_size=32), hf.AlbertModel)


@architecture("electra")
def electra() -> Network:
    """ELECTRA."""
    return _encoder(hf.ElectraConfig(**_SIZES, embedding_size=32), hf.ElectraModel)


@architecture("deberta")
def deberta() -> Network:
    """DeBERTa, with attention to relative positions."""
    config = hf.DebertaConfig(
        **_SIZES, relative_attention=True, pos_att_type=["c2p", "p2c"], type_vocab_size=0
    )
    return _encoder(config, hf.DebertaModel)


@architecture("deberta-v2")
def deberta_v2() -> Network:
    """DeBERTa of version 2, with positions in buckets."""
    config = hf.DebertaV2Config(
        **_SIZES, relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=16,
        share_att_key=True, norm_rel_ebd="layer_norm",
    )  # fmt: skip
    return _encoder(config, hf.DebertaV2Model)


@architecture("mpnet")
def mpnet() -> Network:
    """MPNet."""
    return _encoder(hf.MPNetConfig(**_SIZES), hf.MPNetModel)


@architecture("mobilebert")
def mobilebert() -> Network:
    """MobileBERT, with bottlenecks."""
    config = hf.MobileBertConfig(
        **_SIZES,
        embedding_size=32,
        intra_bottleneck_size=32,
        true_hidden_size=32,
        normalization_type="layer_norm",
    )
    return _encoder(config, hf.MobileBertModel)


@architecture("squeezebert")
def squeezebert() -> Network:
    """SqueezeBERT, with grouped convolutions for matrix products."""
    return _encoder(hf.SqueezeBertConfig(**_SIZES, embedding_size=64), hf.SqueezeBertModel)


@architecture("modernbert")
def modernbert() -> Network:
    """ModernBERT, with rotary positions and windows."""
    config = hf.ModernBertConfig(**_SIZES, local_attention=8, pad_token_id=0)
    return _encoder(config, hf.ModernBertModel)


@architecture("fnet")
def fnet() -> Network:
    """FNet, which mixes tokens by a Fourier transform."""
    inputs = {"input_ids": ids(1, _SEQUENCE)}
    config = hf.FNetConfig(
        vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, intermediate_size=128,
        max_position_embeddings=66,
    )  # fmt: skip
    dims = {"input_ids": {0: "batch"}}
    return network(hf.FNetModel(config), inputs, ["last_hidden_state"], dims)
