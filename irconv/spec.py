r"""Specs: ``name{option=value}`` text for passes, targets and frontends, both ways.

A pass, a frontend and a backend are frozen dataclasses whose fields are their options. Their
spec text reads and prints without loss, so a pipeline can be logged, put in a manifest and
pasted back.

Grammar::

    pipeline = spec { "," spec }
    spec     = name [ "{" [ option { "," option } ] "}" ]
    option   = key "=" value
    value    = bare | quoted | "[" [ value { "," value } ] "]"

``name`` is kebab-case. A key may be written with ``-`` or ``_``. A quoted value stands between
double quotes, with ``\"`` and ``\\`` inside. The bare word ``none`` unsets an optional option.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, Union

from irconv.errors import UsageError

__all__ = ["Configurable", "Spec", "field_types", "parse_pipeline", "parse_spec"]

OptionValue = str | tuple["OptionValue", ...]

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BARE = re.compile(r'[^\s,{}\[\]="\\]+')
_NONE = "none"
_DEEPEST_LIST = 32


class _Quoted(str):
    """Text that stood between double quotes, where ``none`` is a word like any other."""

    __slots__ = ()


@dataclass(frozen=True)
class Spec:
    """A parsed ``name{option=value}``; the options are still text."""

    name: str
    options: Mapping[str, OptionValue]

    def __str__(self) -> str:
        if not self.options:
            return self.name
        inside = ",".join(f"{key}={_print_value(value)}" for key, value in self.options.items())
        return f"{self.name}{{{inside}}}"


def _print_value(value: OptionValue) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(_print_value(item) for item in value) + "]"
    if _BARE.fullmatch(value) and not isinstance(value, _Quoted):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Reader:
    """A cursor over spec text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def error(self, expected: str) -> UsageError:
        return UsageError(
            f"expected {expected} at column {self.at + 1} of {self.text!r}",
            where="spec",
            hint="write name{option=value,other=[a,b]}, for example trt{precision=fp16,sm=89}",
        )

    def skip_space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def peek(self) -> str:
        self.skip_space()
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self, character: str) -> None:
        if self.peek() != character:
            raise self.error(repr(character))
        self.at += 1

    def match(self, pattern: re.Pattern[str], expected: str) -> str:
        self.skip_space()
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.error(expected)
        self.at = found.end()
        return found.group()

    def quoted(self) -> str:
        self.take('"')
        characters: list[str] = []
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                return _Quoted("".join(characters))
            if character == "\\" and self.at < len(self.text):
                character = self.text[self.at]
                self.at += 1
            characters.append(character)
        raise self.error("a closing double quote")

    def value(self, depth: int = 0) -> OptionValue:
        if self.peek() == '"':
            return self.quoted()
        if self.peek() != "[":
            return self.match(_BARE, "a value")
        if depth == _DEEPEST_LIST:
            raise self.error(f"lists nested at most {_DEEPEST_LIST} deep")
        self.take("[")
        items: list[OptionValue] = []
        while self.peek() != "]":
            if items:
                self.take(",")
            items.append(self.value(depth + 1))
        self.take("]")
        return tuple(items)

    def spec(self) -> Spec:
        name = self.match(_NAME, "a kebab-case name")
        options: dict[str, OptionValue] = {}
        if self.peek() == "{":
            self.take("{")
            while self.peek() != "}":
                if options:
                    self.take(",")
                key = self.match(_KEY, "an option name").replace("-", "_")
                if key in options:
                    raise UsageError(f"option {key!r} is given twice in {self.text!r}")
                self.take("=")
                options[key] = self.value()
            self.take("}")
        return Spec(name, options)


def parse_spec(text: str) -> Spec:
    """Parse one spec.

    Raises:
        UsageError: If the text is not exactly one spec.
    """
    reader = _Reader(text)
    spec = reader.spec()
    if reader.peek():
        raise reader.error("the end of the spec")
    return spec


def parse_pipeline(text: str) -> list[Spec]:
    """Parse specs separated by commas; blank text is an empty pipeline.

    Raises:
        UsageError: If the text is not a list of specs.
    """
    reader = _Reader(text)
    specs: list[Spec] = []
    while reader.peek():
        if specs:
            reader.take(",")
        specs.append(reader.spec())
    return specs


@dataclass(frozen=True)
class Configurable:
    """Base of everything that has a spec: subclasses are frozen dataclasses.

    A field of type ``int``, ``float``, ``bool``, ``str``, ``Literal[...]``, ``X | None`` or
    ``tuple[X, ...]`` is an option. A single value is accepted where a tuple is wanted.
    """

    name: ClassVar[str] = ""

    @classmethod
    def from_options(cls, options: Mapping[str, OptionValue]) -> Self:
        """Build an instance from option text.

        Raises:
            UsageError: For an unknown option or a value of the wrong type.
        """
        hints = field_types(cls)
        arguments: dict[str, Any] = {}
        for key, value in options.items():
            if key not in hints:
                known = ", ".join(sorted(hints)) or "none"
                raise UsageError(
                    f"{cls.name!r} has no option {key!r}", hint=f"its options are: {known}"
                )
            arguments[key] = _convert(value, hints[key], f"option {key!r} of {cls.name!r}")
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{cls.name!r}: {error}") from error

    @property
    def spec(self) -> Spec:
        """The spec of this instance; options at their default are left out."""
        options: dict[str, OptionValue] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                options[field.name] = _to_text(value)
        return Spec(self.name, options)

    def __str__(self) -> str:
        return str(self.spec)


def field_types(cls: type[Configurable]) -> dict[str, Any]:
    """Return the type of each option of a configurable class."""
    hints = _type_hints(typing.cast(Hashable, cls))
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@functools.cache
def _type_hints(cls: Hashable) -> Mapping[str, Any]:
    return typing.get_type_hints(cls)


def _to_text(value: object) -> OptionValue:
    if isinstance(value, tuple):
        return tuple(_to_text(item) for item in value)
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    if value == _NONE:
        return _Quoted(value)
    return repr(value) if isinstance(value, float) else str(value)


def _convert(value: OptionValue, kind: Any, what: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, what)
    if origin is tuple:
        items = value if isinstance(value, tuple) else (value,)
        return tuple(_convert(item, arguments[0], what) for item in items)
    if isinstance(value, tuple):
        raise UsageError(f"{what} takes one value, not a list")
    if origin is Literal:
        for choice in arguments:
            if str(choice) == value:
                return choice
        choices = ", ".join(str(choice) for choice in arguments)
        raise UsageError(f"{what} cannot be {value!r}", hint=f"choose one of: {choices}")
    return _convert_scalar(value, kind, what)


def _convert_union(value: OptionValue, arguments: tuple[Any, ...], what: str) -> Any:
    members = [member for member in arguments if member is not types.NoneType]
    if types.NoneType in arguments and value == _NONE and not isinstance(value, _Quoted):
        return None
    failure: UsageError | None = None
    for member in members:
        try:
            return _convert(value, member, what)
        except UsageError as error:
            failure = error
    assert failure is not None
    raise failure


def _convert_scalar(value: str, kind: Any, what: str) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise UsageError(f"{what} must be true or false, not {value!r}")
        return value.lower() == "true"
    if kind is str:
        return value
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} must be of type {kind.__name__}, not {value!r}") from error
