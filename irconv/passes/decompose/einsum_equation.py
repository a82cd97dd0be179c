"""Reading the equation of an Einsum.

ONNX Einsum (since 12): terms are letters and at most one ellipsis; without ``->`` the result has
the ellipsis first, then in alphabetical order the letters that occur exactly once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from irconv.passes.decompose.block import Keep

__all__ = ["is_ellipsis_label", "parse_equation"]

_ELLIPSIS = "..."


def is_ellipsis_label(label: str) -> bool:
    """Return whether a label stands for a dim behind the ellipsis; those broadcast."""
    return label.startswith(".")


def parse_equation(equation: str, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """Return the labels of every axis of every operand, and of the result.

    A dim behind the ellipsis is labelled ``.n``, where n counts from its last dim: two operands
    whose ellipses have different lengths align at the end.

    Args:
        equation: Such as ``...ij,jk->...ik``.
        ranks: Rank of each operand.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise Keep(f"its equation has {len(terms)} terms for {len(ranks)} inputs")
    operands = [_expand(term, rank) for term, rank in zip(terms, ranks, strict=True)]
    hidden = _hidden(max(_width(labels) for labels in operands))
    if arrow:
        result = [*right]
        if _ELLIPSIS in right:
            before, _, after = right.partition(_ELLIPSIS)
            result = [*before, *hidden, *after]
        elif hidden:
            raise Keep("its equation drops the dims behind the ellipsis")
    else:
        counts = Counter(label for labels in operands for label in labels)
        letters = [label for label in counts if not is_ellipsis_label(label)]
        result = [*hidden, *sorted(label for label in letters if counts[label] == 1)]
    return operands, result


def _hidden(width: int) -> list[str]:
    return [f".{number}" for number in reversed(range(width))]


def _width(labels: Sequence[str]) -> int:
    return sum(map(is_ellipsis_label, labels))


def _expand(term: str, rank: int) -> list[str]:
    before, dots, after = term.partition(_ELLIPSIS)
    width = rank - len(before) - len(after)
    if width < 0 or (width and not dots):
        raise Keep(f"its term {term!r} does not fit rank {rank}")
    return [*before, *_hidden(width), *after]
