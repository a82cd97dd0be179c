"""Networks from one sequence to another, encoder and decoder apart."""

from __future__ import annotations

import torch
import transformers as hf

from architectures.registry import Network, architecture
from architectures.weights import randomize
from architectures.wrap import TEXT, VOCABULARY, ids, network

_BART = {
    "vocab_size": VOCABULARY, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128, "max_position_embeddings": 66, "use_cache": False,
}  # fmt: skip
_WHISPER = _BART | {
    "num_mel_bins": 16, "max_source_positions": 32, "max_target_positions": 66,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
_WHISPER.pop("max_position_embeddings")


class _Decoder(torch.nn.Module):
    """A decoder that attends to given states of an encoder."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        result = self.model(input_ids=input_ids, encoder_hidden_states=states, use_cache=False)
        return result.last_hidden_state


def _encoder(model: torch.nn.Module) -> Network:
    mask = torch.ones(1, 16).long()
    mask[:, -4:] = 0
    inputs = {"input_ids": ids(1, 16), "attention_mask": mask}
    dims = {"input_ids": TEXT, "attention_mask": TEXT}
    return network(model, inputs, ["last_hidden_state"], dims)


def _decoder(model: torch.nn.Module, *, source: int = 12, dynamic_source: bool = True) -> Network:
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(1, source, 64, generator=generator)
    inputs = {"input_ids": ids(1, 8), "states": states}
    module = randomize(_Decoder(model), *inputs.values())
    source_dims = {0: "batch", 1: "source"} if dynamic_source else {0: "batch"}
    dims = {"input_ids": TEXT, "states": source_dims}
    return Network(module, inputs, ("last_hidden_state",), dims)


def _t5() -> hf.T5Config:
    return hf.T5Config(
        vocab_size=VOCABULARY, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
        attn_implementation="eager",
        use_cache=False,
    )  # fmt: skip


@architecture("t5-encoder")
def t5_encoder() -> Network:
    """The encoder of T5, with relative positions in buckets."""
    return _encoder(hf.T5EncoderModel(_t5()))


@architecture("t5-decoder")
def t5_decoder() -> Network:
    """The decoder of T5."""
    return _decoder(hf.T5Model(_t5()).decoder)


@architecture("bart-encoder")
def bart_encoder() -> Network:
    """The encoder of BART."""
    return _encoder(hf.BartModel(hf.BartConfig(**_BART)).encoder)


@architecture("bart-decoder")
def bart_decoder() -> Network:
    """The decoder of BART."""
    return _decoder(hf.BartModel(hf.BartConfig(**_BART)).decoder)


@architecture("marian-encoder")
def marian_encoder() -> Network:
    """The encoder of Marian, with sinusoids for positions."""
    return _encoder(hf.MarianModel(hf.MarianConfig(**_BART, pad_token_id=0)).encoder)


@architecture("whisper-encoder")
def whisper_encoder() -> Network:
    """The encoder of Whisper, over a spectrogram."""
    generator = torch.Generator().manual_seed(5)
    inputs = {"input_features": torch.randn(1, 16, 64, generator=generator)}
    model = hf.WhisperModel(hf.WhisperConfig(**_WHISPER)).encoder
    return network(model, inputs, ["last_hidden_state"], {"input_features": {0: "batch"}})


@architecture("whisper-decoder")
def whisper_decoder() -> Network:
    """The decoder of Whisper."""
    return _decoder(
        hf.WhisperModel(hf.WhisperConfig(**_WHISPER)).decoder, source=32, dynamic_source=False
    )
