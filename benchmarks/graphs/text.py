"""Networks for text and speech, in their published widths."""

from __future__ import annotations

import torch
import transformers as hf
from architectures.registry import Network
from architectures.weights import randomize
from architectures.wrap import TEXT, decoder, ids, network

__all__ = ["bert", "llama", "lstm", "t5_decoder", "whisper_encoder"]


def bert() -> Network:
    """BERT-base of six layers, with a mask, types and a pooler, for 128 tokens."""
    model = hf.BertModel(hf.BertConfig(num_hidden_layers=6, attn_implementation="eager"))
    mask, types = torch.ones(1, 128).long(), torch.zeros(1, 128).long()
    mask[:, 100:] = 0
    types[:, 50:] = 1
    inputs = {"input_ids": ids(1, 128), "attention_mask": mask, "token_type_ids": types}
    picks = ["last_hidden_state", "pooler_output"]
    return network(model, inputs, picks, dict.fromkeys(inputs, TEXT))


def llama() -> Network:
    """Four blocks of Llama with their cache; four heads of queries to one of keys."""
    config = hf.LlamaConfig(
        vocab_size=8192, hidden_size=1024, num_hidden_layers=4, num_attention_heads=16,
        num_key_value_heads=4, intermediate_size=2816, attn_implementation="eager",
    )  # fmt: skip
    return decoder(lambda: hf.LlamaForCausalLM(config), layers=4, heads=4, width=64)


class _Decoder(torch.nn.Module):
    """A decoder over given states of an encoder, with a head that shares the embedding."""

    def __init__(self, model: hf.T5ForConditionalGeneration) -> None:
        super().__init__()
        self.decoder, self.head = model.decoder, model.lm_head

    def forward(
        self, input_ids: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        result = self.decoder(
            input_ids=input_ids,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        )
        return self.head(result.last_hidden_state)


def t5_decoder() -> Network:
    """The decoder of T5-small, whose embedding and head are one matrix."""
    config = hf.T5Config(attn_implementation="eager", use_cache=False)
    model = hf.T5ForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(4)
    mask = torch.ones(1, 32).long()
    mask[:, 24:] = 0
    states = torch.randn(1, 32, 512, generator=generator)
    inputs = {"input_ids": ids(1, 16), "states": states, "mask": mask}
    source = {0: "batch", 1: "source"}
    module = randomize(_Decoder(model), *inputs.values())
    dims = {"input_ids": TEXT, "states": source, "mask": source}
    return Network(module, inputs, ("logits",), dims)


def whisper_encoder() -> Network:
    """The encoder of Whisper-tiny, over thirty seconds."""
    model = hf.WhisperModel(hf.WhisperConfig(attn_implementation="eager")).encoder
    generator = torch.Generator().manual_seed(5)
    inputs = {"input_features": torch.randn(1, 80, 3000, generator=generator)}
    return network(model, inputs, ["last_hidden_state"], {"input_features": {0: "batch"}})


class _Labels(torch.nn.Module):
    """A label for each step of a series."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.LSTM(128, 256, 2, batch_first=True)
        self.head = torch.nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.cell(x)
        return self.head(states)


def lstm() -> Network:
    """An LSTM of two layers over a series, with a head."""
    generator = torch.Generator().manual_seed(6)
    inputs = {"x": torch.randn(1, 24, 128, generator=generator)}
    return Network(randomize(_Labels(), *inputs.values()), inputs, ("y",), {"x": TEXT})
