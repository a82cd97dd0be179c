"""Which inputs and outputs of a model are states: what one step gives, the next step takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irconv.errors import UsageError

if TYPE_CHECKING:
    from irconv.runtime.base import TensorSpec

__all__ = ["Beginning", "State", "find_states"]

_WHERE = "target openvino, option stateful"
_RENAMED = (
    ("past_key_values", "present"),
    ("past_key_values", "present_key_values"),
    ("past", "present"),
    ("_in", "_out"),
    ("in_", "out_"),
    ("h_0", "h_n"),
    ("c_0", "c_n"),
    ("h0", "hn"),
    ("c0", "cn"),
)
"""How exporters name the two ends of a state: part of the input's name, and of the output's."""

Beginning = int | tuple[str, int]
"""A size that a state begins with: known, or that of an axis of an input."""


@dataclass(frozen=True)
class State:
    """An input and the output that is its value in the next step.

    Attributes:
        input: The input; its name is the state's.
        output: The output.
        beginning: The size of each axis before the first step, when the state is all zeros.
    """

    input: TensorSpec
    output: TensorSpec
    beginning: tuple[Beginning, ...]

    def to_json(self) -> dict[str, str]:
        """Return the state as it stands in a manifest."""
        return {"name": self.input.name, "input": self.input.name, "output": self.output.name}


def find_states(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], wanted: tuple[bool | str, ...]
) -> list[State]:
    """Return the states of a model.

    Args:
        inputs: The model's inputs.
        outputs: The model's outputs.
        wanted: ``(True,)`` for those that names tell; else ``input:output`` texts.

    Raises:
        UsageError: If there are none, a name is unknown, or the two ends do not fit each other.
    """
    by_input = {spec.name: spec for spec in inputs}
    by_output = {spec.name: spec for spec in outputs}
    if wanted == (True,):
        pairs = _told_by_names(by_input, by_output)
        if not pairs:
            raise UsageError(
                f"no output is named as the next value of an input; inputs: {', '.join(by_input)}; "
                f"outputs: {', '.join(by_output)}",
                where=_WHERE,
                hint="name the pairs, for example openvino{stateful=[h0:hn,c0:cn]}",
            )
    else:
        pairs = [_split(str(text), by_input, by_output) for text in wanted]
    taken = [name for pair in pairs for name in pair]
    if len(set(taken[::2])) < len(pairs) or len(set(taken[1::2])) < len(pairs):
        raise UsageError("an input or output is in two pairs", where=_WHERE)
    others = [spec for spec in inputs if spec.name not in taken[::2]]
    return [_state(by_input[old], by_output[new], others) for old, new in pairs]


def _told_by_names(
    inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, spec in inputs.items():
        candidates = [name.replace(old, new) for old, new in _RENAMED if old in name]
        found = [
            other
            for other in dict.fromkeys(candidates)
            if other != name and other in outputs and not _misfit(spec, outputs[other])
        ]
        if len(found) == 1:
            pairs.append((name, found[0]))
    return pairs


def _split(
    text: str, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> tuple[str, str]:
    """Split ``input:output`` at the colon that leaves two known names; names may have colons."""
    for place in [index for index, character in enumerate(text) if character == ":"]:
        old, new = text[:place], text[place + 1 :]
        if old in inputs and new in outputs:
            return old, new
    raise UsageError(
        f"{text!r} is no pair input:output of this model",
        where=_WHERE,
        hint=f"inputs: {', '.join(inputs)}; outputs: {', '.join(outputs)}",
    )


def _misfit(old: TensorSpec, new: TensorSpec) -> str:
    if old.kind != "tensor" or new.kind != "tensor" or old.dtype != new.dtype:
        return f"{old} and {new} are of different dtypes"
    if old.shape is None or new.shape is None:
        return f"the rank of {old.name!r} or {new.name!r} is unknown"
    if len(old.shape) != len(new.shape):
        return f"{old} and {new} are of different ranks"
    fixed = zip(old.shape, new.shape, strict=True)
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in fixed):
        return f"{old} and {new} are of different sizes"
    return ""


def _state(old: TensorSpec, new: TensorSpec, others: Sequence[TensorSpec]) -> State:
    reason = _misfit(old, new)
    if reason:
        raise UsageError(f"the two ends of a state do not fit: {reason}", where=_WHERE)
    assert old.shape is not None
    assert new.shape is not None
    known = {
        dim: (spec.name, axis)
        for spec in reversed(others)
        for axis, dim in enumerate(spec.shape or ())
        if isinstance(dim, str)
    }
    beginning: list[Beginning] = []
    for dim, after in zip(old.shape, new.shape, strict=True):
        if isinstance(dim, int):
            beginning.append(dim)
        elif dim is not None and dim in known:
            beginning.append(known[dim])
        elif dim is not None and dim == after:
            raise UsageError(
                f"dimension {dim!r} of the state {old.name!r} does not grow, and no other input "
                "has it, so the first step cannot know its size",
                where=_WHERE,
                hint=f"bind it with --shape {dim}=SIZE, or give an input's dimension that name",
            )
        else:
            beginning.append(0)
    return State(old, new, tuple(beginning))
