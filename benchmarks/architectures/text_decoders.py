"""Decoders of text, each with its cache of keys and values, and a state-space model."""

from __future__ import annotations

import transformers as hf

from architectures.registry import Network, architecture
from architectures.wrap import VOCABULARY, decoder, ids, network

_LAYERS, _HEADS, _WIDTH = 2, 4, 16
_SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS, "intermediate_size": 128, "max_position_embeddings": 128,
}  # fmt: skip
_SHARED = _SIZES | {"num_key_value_heads": 2}


@architecture("gpt2")
def gpt2() -> Network:
    """GPT-2."""
    config = hf.GPT2Config(
        vocab_size=VOCABULARY, n_embd=64, n_layer=_LAYERS, n_head=_HEADS, n_positions=128
    )
    return decoder(lambda: hf.GPT2LMHeadModel(config), layers=_LAYERS, heads=_HEADS, width=_WIDTH)


@architecture("gpt-neox")
def gpt_neox() -> Network:
    """GPT-NeoX, with rotary positions for a part of each head."""
    config = hf.GPTNeoXConfig(**_SIZES)
    return decoder(
        lambda: hf.GPTNeoXForCausalLM(config), layers=_LAYERS, heads=_HEADS, width=_WIDTH
    )


@architecture("opt")
def opt() -> Network:
    """OPT."""
    config = hf.OPTConfig(
        vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS, ffn_dim=128, max_position_embeddings=128,
        word_embed_proj_dim=64,
    )  # fmt: skip
    return decoder(lambda: hf.OPTForCausalLM(config), layers=_LAYERS, heads=_HEADS, width=_WIDTH)


@architecture("bloom")
def bloom() -> Network:
    """BLOOM, with positions as slopes of attention."""
    config = hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=64, n_layer=_LAYERS, n_head=_HEADS)
    return decoder(lambda: hf.BloomForCausalLM(config), layers=_LAYERS, heads=_HEADS, width=_WIDTH)


@architecture("llama")
def llama() -> Network:
    """Llama, with two heads of queries to one of keys."""
    config = hf.LlamaConfig(**_SHARED)
    return decoder(lambda: hf.LlamaForCausalLM(config), layers=_LAYERS, heads=2, width=_WIDTH)


@architecture("mistral")
def mistral() -> Network:
    """Mistral."""
    config = hf.MistralConfig(**_SHARED, sliding_window=None)
    return decoder(lambda: hf.MistralForCausalLM(config), layers=_LAYERS, heads=2, width=_WIDTH)


@architecture("qwen2")
def qwen2() -> Network:
    """Qwen2."""
    config = hf.Qwen2Config(**_SHARED)
    return decoder(lambda: hf.Qwen2ForCausalLM(config), layers=_LAYERS, heads=2, width=_WIDTH)


@architecture("qwen3")
def qwen3() -> Network:
    """Qwen3, with norms of queries and keys."""
    config = hf.Qwen3Config(**_SHARED, head_dim=_WIDTH)
    return decoder(lambda: hf.Qwen3ForCausalLM(config), layers=_LAYERS, heads=2, width=_WIDTH)


@architecture("gemma")
def gemma() -> Network:
    """Gemma."""
    config = hf.GemmaConfig(**_SHARED, head_dim=_WIDTH)
    return decoder(lambda: hf.GemmaForCausalLM(config), layers=_LAYERS, heads=2, width=_WIDTH)


@architecture("phi")
def phi() -> Network:
    """Phi."""
    config = hf.PhiConfig(**_SIZES)
    return decoder(lambda: hf.PhiForCausalLM(config), layers=_LAYERS, heads=_HEADS, width=_WIDTH)


@architecture("mamba")
def mamba() -> Network:
    """Mamba, whose selective scan is unrolled over a static sequence."""
    config = hf.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=1, time_step_rank=4,
        use_cache=False,
    )  # fmt: skip
    dims = {"input_ids": {0: "batch"}}
    return network(hf.MambaForCausalLM(config), {"input_ids": ids(1, 6)}, ["logits"], dims)
