"""Shape options of the command line: ranges of named dimensions, and typed inputs.

``batch=1..8@4`` says that the dimension ``batch`` runs from 1 to 8 and is best at 4;
``batch=4`` binds it. ``x[1,3,224,224]{f32}`` gives an input its shape and dtype.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from irconv.errors import UsageError

__all__ = ["DTYPES", "DimRange", "InputSpec", "parse_input", "parse_shapes"]

DTYPES: dict[str, str] = {
    "f64": "float64",
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "i64": "int64",
    "i32": "int32",
    "i16": "int16",
    "i8": "int8",
    "u64": "uint64",
    "u32": "uint32",
    "u16": "uint16",
    "u8": "uint8",
    "bool": "bool",
    "str": "string",
}
"""Short dtype names of ``--input``, and the full name that each stands for."""

_SIZE = r"[0-9]{1,18}"
_RANGE = re.compile(rf"(?P<lo>{_SIZE})(?:\.\.(?P<hi>{_SIZE})(?:@(?P<opt>{_SIZE}))?)?")
_DIM = re.compile(rf"{_SIZE}|\?|[A-Za-z_].*")
_INPUT = re.compile(r"(?P<name>[^\[\]{}]+)\[(?P<dims>[^\]]*)\](?:\{(?P<dtype>\w+)\})?")


@dataclass(frozen=True)
class DimRange:
    """Bounds of one named dimension, all inclusive, with ``minimum <= best <= maximum``."""

    minimum: int
    best: int
    maximum: int

    @property
    def bound(self) -> bool:
        """Whether only one size is left."""
        return self.minimum == self.maximum

    def __str__(self) -> str:
        if self.bound:
            return str(self.minimum)
        return f"{self.minimum}..{self.maximum}@{self.best}"


@dataclass(frozen=True)
class InputSpec:
    """An input as the user states it; a dim is a size, a name, or None where left open."""

    name: str
    dims: tuple[int | str | None, ...]
    dtype: str | None = None


def parse_shapes(texts: Iterable[str]) -> dict[str, DimRange]:
    """Parse ``NAME=LO[..HI[@BEST]]`` texts, several in one separated by commas.

    Raises:
        UsageError: If a text is not of that form or its bounds are out of order.
    """
    ranges: dict[str, DimRange] = {}
    for text in texts:
        for part in filter(None, (item.strip() for item in text.split(","))):
            name, _, value = part.partition("=")
            found = _RANGE.fullmatch(value.strip())
            if not name.strip() or found is None:
                raise UsageError(
                    f"--shape {part!r} is not of the form NAME=MIN..MAX@BEST",
                    hint="for example --shape batch=1..8@4, or --shape batch=4",
                )
            low = int(found["lo"])
            high = int(found["hi"] or low)
            best = int(found["opt"] or high)
            if not 1 <= low <= best <= high:
                raise UsageError(f"--shape {part!r}: needs 1 <= MIN <= BEST <= MAX")
            if name.strip() in ranges:
                raise UsageError(f"--shape gives {name.strip()!r} twice")
            ranges[name.strip()] = DimRange(low, best, high)
    return ranges


def parse_input(text: str) -> InputSpec:
    """Parse ``name[2,seq,?]{f32}``; the dtype may be left out.

    Raises:
        UsageError: If the text is not of that form or the dtype is unknown.
    """
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"--input {text!r} is not of the form NAME[DIM,DIM,...]{{DTYPE}}",
            hint="for example --input 'x[1,3,224,224]{f32}'",
        )
    dtype = found["dtype"]
    if dtype is not None and dtype not in DTYPES and dtype not in DTYPES.values():
        raise UsageError(
            f"--input {text!r}: unknown dtype {dtype!r}", hint="known: " + ", ".join(DTYPES)
        )
    inside = found["dims"].strip()
    dims = [_dim(part.strip(), text) for part in inside.split(",")] if inside else []
    return InputSpec(found["name"].strip(), tuple(dims), DTYPES.get(dtype or "", dtype))


def _dim(part: str, text: str) -> int | str | None:
    if not _DIM.fullmatch(part):
        raise UsageError(
            f"--input {text!r}: {part!r} is no dimension",
            hint="write a size, the name of a dynamic dimension, or ? where it is open",
        )
    if part == "?":
        return None
    return int(part) if part.isdigit() else part
