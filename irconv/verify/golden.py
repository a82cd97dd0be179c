"""Goldens: inputs, and the outputs that the source gave for them.

On disk a golden is a folder with ``golden.json``, ``inputs.npz`` and ``outputs.npz``. The JSON
holds a SHA-256 over names, dtypes, shapes and contents of all values, so a changed number is
noticed before anything is judged by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from irconv.errors import InputError, MismatchError
from irconv.runtime.base import Array, Feeds, Runner, Value
from irconv.runtime.values import dtype_name, load_samples, save_samples
from irconv.verify.metrics import OutputMetrics, array_kind, arrays_of, compare_outputs

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.verify.tolerance import Tolerance

__all__ = [
    "Golden",
    "Origin",
    "assert_discriminating",
    "describe_weakness",
    "load_golden",
    "save_golden",
]

Origin = Literal["generated", "data", "recorded", "example"]
"""Where the inputs come from: made by irconv; the user's data; a recorded golden folder;
examples that came with the source."""

SCHEMA = "irconv-golden/1"
_MIN_ELEMENTS = 8


@dataclass(frozen=True)
class Golden:
    """Inputs with the outputs of the source framework.

    Attributes:
        inputs: One mapping from input name to value per sample.
        outputs: One mapping from output name to value per sample.
        origin: Where the inputs come from.
        seed: The seed of generated inputs.
        reference: What computed the outputs: ``runtime``, ``version`` and so on.
    """

    inputs: Sequence[Feeds]
    outputs: Sequence[Mapping[str, Value]]
    origin: Origin
    seed: int | None
    reference: Mapping[str, str]

    def digest(self) -> str:
        """Return the SHA-256 over all inputs and outputs."""
        state = hashlib.sha256()
        for part in (self.inputs, self.outputs):
            state.update(f"part {len(part)}\n".encode())
            for sample in part:
                state.update(f"sample {len(sample)}\n".encode())
                for name in sorted(sample):
                    state.update(f"value {json.dumps(name)}\n".encode())
                    _feed(state, sample[name])
        return state.hexdigest()


def _feed(state: hashlib._Hash, value: Value) -> None:
    if value is None:
        state.update(b"none\n")
    elif isinstance(value, (list, tuple)):
        state.update(f"sequence {len(value)}\n".encode())
        for item in value:
            _feed(state, item)
    elif isinstance(value, dict):
        state.update(f"map {len(value)}\n".encode())
        for key, item in value.items():
            state.update(f"key {json.dumps(_plain(key))}\n".encode())
            _feed(state, np.asarray(item))
    else:
        array = np.asarray(value)
        dims = ",".join(map(str, array.shape))
        state.update(f"tensor {dtype_name(array.dtype)} {dims}\n".encode())
        _feed_array(state, array)


def _feed_array(state: hashlib._Hash, array: Array) -> None:
    if dtype_name(array.dtype) == "string":
        for item in array.flat:
            text = item.decode(errors="replace") if isinstance(item, bytes) else str(item)
            state.update(json.dumps(text).encode())
        return
    native = array.dtype.newbyteorder("<") if array.dtype.kind in "iufc" else array.dtype
    contiguous = np.ascontiguousarray(array, dtype=native)
    state.update(contiguous.reshape(-1).view(np.uint8).data)


def _plain(key: Any) -> Any:
    return key.item() if isinstance(key, np.generic) else key


def save_golden(directory: Path, golden: Golden) -> None:
    """Write a golden into ``directory``, which is made if it is not there.

    Raises:
        OSError: If the folder cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    save_samples(directory / "inputs.npz", golden.inputs)
    save_samples(directory / "outputs.npz", golden.outputs)
    document = {
        "schema": SCHEMA,
        "origin": golden.origin,
        "seed": golden.seed,
        "samples": len(golden.inputs),
        "reference": dict(golden.reference),
        "sha256": golden.digest(),
    }
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    (directory / "golden.json").write_text(text, encoding="utf-8")


def load_golden(directory: Path) -> Golden:
    """Read a golden and check its digest.

    Raises:
        InputError: If the folder holds no readable golden.
        MismatchError: If the values are not those that the digest was made of.
    """
    where = f"golden {directory}"
    hint = "record it anew with `irconv golden record`"
    try:
        document = json.loads((directory / "golden.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("there is no golden.json", where=where, hint=hint) from error
    except (OSError, ValueError) as error:
        raise InputError(f"golden.json cannot be read: {error}", where=where, hint=hint) from error
    problem = _problem(document)
    if problem:
        raise InputError(f"golden.json {problem}", where=where, hint=hint)
    golden = Golden(
        inputs=load_samples(directory / "inputs.npz"),
        outputs=load_samples(directory / "outputs.npz"),
        origin=document["origin"],
        seed=document["seed"],
        reference={str(key): str(value) for key, value in document["reference"].items()},
    )
    counts = {len(golden.inputs), len(golden.outputs), document["samples"]}
    if len(counts) != 1 or golden.digest() != document["sha256"]:
        raise MismatchError(
            "the golden's values are not those that were recorded: the digest does not hold",
            where=where,
            hint=hint,
        )
    return golden


def _problem(document: Any) -> str:
    if not isinstance(document, dict):
        return "is no JSON object"
    if document.get("schema") != SCHEMA:
        return f"has schema {document.get('schema')!r}, not {SCHEMA!r}"
    if document.get("origin") not in get_args(Origin):
        return f"has an unknown origin {document.get('origin')!r}"
    seed = document.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        return "has a seed that is no integer"
    for key, kind in (("sha256", str), ("samples", int), ("reference", dict)):
        if not isinstance(document.get(key), kind):
            return f"has no {key}"
    return ""


def describe_weakness(golden: Golden) -> dict[str, str]:
    """Say which outputs prove little, whoever computes them.

    Returns:
        By output name: ``nan`` if it is NaN anywhere; ``constant`` if all its elements in all
        samples are one value (floating-point outputs of 8 elements or more in all, of a model
        that has inputs). Outputs without a weakness are left out.
    """
    names = dict.fromkeys(name for sample in golden.outputs for name in sample)
    has_inputs = any(golden.inputs)
    found: dict[str, str] = {}
    for name in names:
        arrays = [a for sample in golden.outputs for a in arrays_of(sample.get(name))]
        floats = [array for array in arrays if array_kind(array) == "float" and array.size]
        if any(_has_nan(array) for array in floats):
            found[name] = "nan"
        elif has_inputs and len(floats) == len(arrays) and _is_constant(floats):
            found[name] = "constant"
    return found


def _has_nan(array: Array) -> bool:
    return bool(np.isnan(array).any())


def _is_constant(arrays: Sequence[Array]) -> bool:
    if sum(array.size for array in arrays) < _MIN_ELEMENTS:
        return False
    first = arrays[0].reshape(-1)[0]
    return all(bool((array == first).all()) for array in arrays)


_WEIGHTS_TRIED = 3
_WEIGHT_CHANGE = 0.01


def assert_discriminating(
    model: ir.Model,
    golden: Golden,
    open_reference: Callable[[ir.Model], Runner],
    tolerances: Mapping[str, Tolerance],
) -> None:
    """Check that a slightly wrong weight would be noticed.

    The largest weight tensors are changed one after the other by random amounts of 1 % of
    their root mean square; each change must move some output out of its tolerance.

    Args:
        model: The model; it is left as it was.
        golden: The golden in question.
        open_reference: Opens a model in the reference runtime.
        tolerances: The tolerances that the golden is judged by.

    Raises:
        InputError: If a change goes unnoticed.
    """
    import onnx_ir as ir

    weights = [
        value
        for value in model.graph.initializers.values()
        if value.const_value is not None
        and value.const_value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)
        and value.const_value.size > 1
        and value.uses()
    ]
    weights.sort(key=lambda value: value.const_value.size if value.const_value else 0, reverse=True)
    for value in weights[:_WEIGHTS_TRIED]:
        original = value.const_value
        assert original is not None
        value.const_value = ir.tensor(_changed(original.numpy()), name=value.name)
        try:
            with open_reference(model) as runner:
                outputs = [runner.run(feeds) for feeds in golden.inputs]
        finally:
            value.const_value = original
        compared = compare_outputs(golden.outputs, outputs)
        if not any(_noticed(metrics, tolerances.get(name)) for name, metrics in compared.items()):
            raise InputError(
                f"the golden does not tell a wrong model from a right one: weight {value.name!r} "
                f"changed by {_WEIGHT_CHANGE:.0%} stays within tolerance",
                where="golden",
                hint="give more or other samples with --data",
            )


def _changed(array: Array) -> Array:
    random = np.random.Generator(np.random.PCG64(0))
    rms = float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
    noise = random.standard_normal(array.shape, dtype=np.float32)
    noise *= _WEIGHT_CHANGE * (rms or 1.0)
    return (array + noise).astype(array.dtype)


def _noticed(metrics: OutputMetrics, tolerance: Tolerance | None) -> bool:
    limit = tolerance.value if tolerance else 0.0
    return bool(metrics.problem or metrics.nonfinite_mismatches or metrics.max_abs > limit)
