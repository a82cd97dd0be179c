"""Signals, sequences, optional values and text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft
from onnx import TensorProto

from operators.operands import Recipe, family

__all__ = ["RECIPES"]


def _window(op: str, draft: Draft) -> None:
    draft.node(op, [draft.constant(4, np.int64)])


def _mel(draft: Draft) -> None:
    whole = [draft.constant(item, np.int64) for item in (4, 8, 8000)]
    edges = [draft.constant(item, np.float32) for item in (0.0, 4000.0)]
    draft.node("MelWeightMatrix", [*whole, *edges])


def _shifted(draft: Draft, spectrum: str) -> None:
    """Add 1 to a spectrum: of its zeros only noise is left, which later steps would amplify."""
    draft.hidden.add(spectrum)
    draft.node("Add", [spectrum, draft.constant(1.0, np.float32)])


def _dft(draft: Draft) -> None:
    _shifted(draft, draft.node("DFT", [draft.operand(np.float32, (1, 4, 1))]))


def _stft(draft: Draft) -> None:
    signal = draft.operand(np.float32, (1, 8, 1))
    step, length = draft.constant(2, np.int64), draft.constant(4, np.int64)
    # without the attribute ONNX infers a size that is not that of the default
    onesided = int(draft.chance(0.5))
    _shifted(draft, draft.node("STFT", [signal, step, "", length], onesided=onesided))


def _sequence(draft: Draft) -> None:
    parts = [draft.operand(np.float32, (2, 3)) for _ in range(2)]
    listed = draft.node("SequenceConstruct", parts)
    kind = int(draft.rng.integers(3))
    if kind == 0:
        listed = draft.node("SequenceInsert", [listed, parts[0]])
    elif kind == 1:
        listed = draft.node("SequenceErase", [listed, draft.constant(0, np.int64)])
    draft.node("SequenceAt", [listed, draft.constant(0, np.int64)])
    draft.node("SequenceLength", [listed])
    draft.node("ConcatFromSequence", [listed], axis=0)


def _empty_sequence(draft: Draft) -> None:
    empty = draft.node("SequenceEmpty", [], dtype=TensorProto.FLOAT)
    listed = draft.node("SequenceInsert", [empty, draft.operand(np.float32, (2, 3))])
    draft.node("SequenceAt", [listed, draft.constant(0, np.int64)])


def _split_to_sequence(draft: Draft) -> None:
    value = draft.operand(np.float32, (3, 2))
    parts = draft.node("SplitToSequence", [value], axis=0, keepdims=1)
    draft.node("SequenceAt", [parts, draft.constant(1, np.int64)])


def _optional(draft: Draft) -> None:
    value = draft.operand(np.float32, (2, 2))
    wrapped = draft.node("Optional", [value])
    draft.node("OptionalHasElement", [wrapped])
    draft.node("OptionalGetElement", [wrapped])


def _tf_idf(draft: Draft) -> None:
    draft.node(
        "TfIdfVectorizer", [draft.operand(np.int64, (4,))], mode="TF", min_gram_length=1,
        max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, 1, 2],
        pool_int64s=[0, 1, 2],
    )  # fmt: skip


RECIPES: Mapping[str, Recipe] = {
    **family(_window, "HannWindow", "HammingWindow", "BlackmanWindow"),
    "MelWeightMatrix": _mel,
    "DFT": _dft,
    "STFT": _stft,
    "sequence": _sequence,
    "SequenceEmpty": _empty_sequence,
    "SplitToSequence": _split_to_sequence,
    "Optional": _optional,
    "TfIdfVectorizer": _tf_idf,
}
"""By name; that of a chain has a space in it or begins in lower case."""
