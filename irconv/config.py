"""The options of a compilation, as one value that saves and loads."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from irconv.errors import InputError, UsageError
from irconv.worker import WorkerLimits

__all__ = ["CompileOptions", "parse_bytes"]

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def parse_bytes(text: str) -> int:
    """Parse a size such as ``4GiB``, ``512M`` or ``1000000``.

    Raises:
        UsageError: If the text is no size.
    """
    body = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = body[-1:] if body[-1:] in ("K", "M", "G", "T") else ""
    try:
        size = int(float(body.removesuffix(unit)) * _UNITS[unit])
    except ValueError:
        size = 0
    if size <= 0:
        raise UsageError(f"{text!r} is no size", hint="write for example 4GiB")
    return size


@dataclass(frozen=True)
class CompileOptions:
    """Everything that shapes a compilation but the model and where the result goes.

    Attributes:
        targets: Target specs.
        inputs: ``--input`` texts.
        outputs: Names of the source's values that are to be outputs; empty for its own.
        signature: Which of the source's signatures is meant; None for the default one.
        frontend: Spec text of the frontend; None to choose it by what the source is.
        frontend_python: Interpreter for the frontend's workers; None for this one.
        shapes: ``--shape`` texts.
        level: Optimization level, 0 to 3; see :func:`irconv.passes.pipelines.default_pipeline`.
        passes: Pipeline text that replaces the level's pipeline; None keeps it.
        quantize: Quantization recipe; None for none.
        prune: Pruning spec; None for none.
        data: Folder or ``.npz`` file with real inputs; None to generate them.
        golden: Folder of recorded goldens to judge by; None to take them from the source.
        samples: How many input samples are generated.
        seed: Seed of the generated inputs.
        trust: Whether code that the source names may run.
        strict: Whether a pass that breaks its contract stops the build.
        verify_each: Whether every pass is verified by running the model before and after, its
            outputs compared and the tensors inside that keep their name and a reader.
        measure: Whether a pass that a target adds to level 3 is kept only if the artifact got
            faster.
        dump_ir: Folder for the IR text after each pass; None for none.
        allow_mismatch: Whether an artifact whose outputs differ is published all the same.
        max_ram: Bytes of memory that a worker may use; None for no limit.
        timeout: Seconds that one call into a worker may take.
        python: Interpreter for workers of a backend, by target name.
    """

    targets: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    signature: str | None = None
    frontend: str | None = None
    frontend_python: str | None = None
    shapes: tuple[str, ...] = ()
    level: int = 2
    passes: str | None = None
    quantize: str | None = None
    prune: str | None = None
    data: str | None = None
    golden: str | None = None
    samples: int = 3
    seed: int = 0
    trust: bool = False
    strict: bool = False
    verify_each: bool = False
    measure: bool = False
    dump_ir: str | None = None
    allow_mismatch: bool = False
    max_ram: int | None = None
    timeout: float = 1800.0
    python: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def limits(self, target: str = "") -> WorkerLimits:
        """Return the limits of a worker that serves ``target``."""
        return WorkerLimits(self.timeout, self.max_ram, self.python.get(target))

    def frontend_limits(self) -> WorkerLimits:
        """Return the limits of the workers that hold the source's framework."""
        return WorkerLimits(self.timeout, self.max_ram, self.frontend_python)

    def save(self, path: Path) -> None:
        """Write the options that are not at their default as JSON."""
        document = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != getattr(CompileOptions(), field.name)
        }
        try:
            path.write_text(json.dumps(document, indent=2) + "\n")
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}", where="--save-config"
            ) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read options from JSON, or from TOML where the name ends in ``.toml``.

        ``trust`` is never taken from a file: it is a decision for each call.

        Raises:
            InputError: If the file cannot be read or names an unknown option.
        """
        try:
            text = path.read_text()
            document = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {path}: {error}", where="--config") from error
        return cls.from_mapping(document, str(path))

    @classmethod
    def from_mapping(cls, document: Any, origin: str) -> Self:
        """Build options from a mapping, checking names and types.

        Raises:
            InputError: If a name is unknown or a value has the wrong type.
        """
        defaults = cls()
        names = {field.name for field in dataclasses.fields(cls)} - {"trust"}
        if not isinstance(document, dict) or not set(document) <= names:
            unknown = sorted(set(document) - names) if isinstance(document, dict) else [document]
            raise InputError(
                f"{origin}: unknown options {unknown}",
                where="--config",
                hint="known: " + ", ".join(sorted(names)),
            )
        arguments: dict[str, Any] = {}
        for name, value in document.items():
            default = getattr(defaults, name)
            if isinstance(default, tuple):
                value = tuple(value) if isinstance(value, list) else value
            if default is not None and not isinstance(value, (type(default), int)):
                raise InputError(f"{origin}: option {name!r} cannot be {value!r}", where="--config")
            arguments[name] = value
        return cls(**arguments)
