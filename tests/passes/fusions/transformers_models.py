"""Tiny transformers as PyTorch's exporters write them: ``transformers_models.py FOLDER``.

``NAME.KIND.legacy.onnx`` is by the TorchScript-based exporter at opset 17 with no folding,
``NAME.KIND.dynamo.onnx`` by the newer one, each with a sample in ``.npz``. KIND is how attention
is written: ``eager`` or ``sdpa``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import nn

BATCH, LENGTH, PAST, LAYERS = 2, 6, 4, 2
TEXT = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4}


class Call(nn.Module):
    """Calls a model with named inputs and returns its first output."""

    def __init__(self, model, names, **options):
        super().__init__()
        self.model, self.names, self.options = model, names, options

    def forward(self, *values):
        return self.model(**dict(zip(self.names, values, strict=True)), **self.options)[0]


class Step(nn.Module):
    """One step of a decoder that keeps keys and values."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask, *past):
        cache = transformers.DynamicCache()
        for layer in range(LAYERS):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        result = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache)
        kept = [part for layer in cache.layers for part in (layer.keys, layer.values)]
        return (result.last_hidden_state, *kept)


def ids():
    return torch.randint(0, 99, (BATCH, LENGTH))


def padding(length=LENGTH):
    """Return a mask in which the second row begins with padding."""
    mask = torch.ones(BATCH, length, dtype=torch.int64)
    mask[1, :2] = 0
    return mask


def bert(kind):
    config = transformers.BertConfig(
        **TEXT, intermediate_size=64, vocab_size=99, attn_implementation=kind
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    names = ["input_ids", "attention_mask"]
    return Call(model, names), dict(zip(names, (ids(), padding()), strict=True))


def vit(kind):
    config = transformers.ViTConfig(
        **TEXT, intermediate_size=64, image_size=16, patch_size=4, attn_implementation=kind
    )
    model = transformers.ViTModel(config, add_pooling_layer=False)
    return Call(model, ["pixel_values"]), {"pixel_values": torch.randn(BATCH, 3, 16, 16)}


def whisper(kind):
    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=LAYERS, encoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=64, vocab_size=99,
        num_mel_bins=8, max_source_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, attn_implementation=kind,
    )  # fmt: skip
    encoder = transformers.WhisperModel(config).encoder
    return Call(encoder, ["input_features"]), {"input_features": torch.randn(BATCH, 8, 32)}


def t5(kind):
    config = transformers.T5Config(
        d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=LAYERS, vocab_size=99,
        decoder_start_token_id=0, attn_implementation=kind,
    )  # fmt: skip
    decoder = transformers.T5Model(config).decoder
    names = ["input_ids", "encoder_hidden_states"]
    inputs = {"input_ids": ids(), "encoder_hidden_states": torch.randn(BATCH, 5, 32)}
    return Call(decoder, names, use_cache=False), inputs


def gpt2(kind):
    config = transformers.GPT2Config(
        n_embd=32, n_layer=LAYERS, n_head=4, vocab_size=99, n_positions=64,
        attn_implementation=kind,
    )  # fmt: skip
    names = ["input_ids", "attention_mask"]
    model = Call(transformers.GPT2Model(config), names, use_cache=False)
    return model, dict(zip(names, (ids(), padding()), strict=True))


def llama(kind):
    config = transformers.LlamaConfig(
        **TEXT, num_key_value_heads=2, intermediate_size=64, vocab_size=99,
        attn_implementation=kind,
    )  # fmt: skip
    past = {f"past_{index}": torch.randn(BATCH, 2, PAST, 8) for index in range(2 * LAYERS)}
    inputs = {"input_ids": ids(), "attention_mask": padding(PAST + LENGTH), **past}
    return Step(transformers.LlamaModel(config)), inputs


MODELS = (bert, vit, whisper, gpt2, llama, t5)
NOT_EXPORTED = {("t5", "sdpa"), ("t5", "dynamo")}
"""T5 has no sdpa form, and torch's newer exporter fails on it."""


def main(folder):
    for build in MODELS:
        for kind in ("eager", "sdpa"):
            for exporter in ("legacy", "dynamo"):
                if {(build.__name__, kind), (build.__name__, exporter)} & NOT_EXPORTED:
                    continue
                torch.manual_seed(0)
                module, inputs = build(kind)
                path = folder / f"{build.__name__}.{kind}.{exporter}.onnx"
                export(module.eval(), inputs, path, exporter)


def export(module, inputs, path, exporter):
    names, values = list(inputs), tuple(inputs.values())
    if exporter == "legacy":
        options = {"dynamo": False, "do_constant_folding": False, "opset_version": 17}
    else:
        options = {"dynamo": True, "external_data": False, "verbose": False}
    torch.onnx.export(module, values, path, input_names=names, **options)
    np.savez(path.with_suffix(".npz"), **{name: value.numpy() for name, value in inputs.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
