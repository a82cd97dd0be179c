"""Names, order, dtypes and dynamic dims of a model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from irconv.errors import InputError
from irconv.frontends.tflite.model import Model, Signature, Tensor
from irconv.shapes import InputSpec

__all__ = ["Interface", "Port", "choose_interface", "name_dims"]

_DEFAULT = "serving_default"
_BATCH = "batch"


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
        name: Its name, that of the signature where there is one.
        tensor: Its tensor.
    """

    name: str
    tensor: Tensor


@dataclass(frozen=True)
class Interface:
    """One entry point of a model.

    Attributes:
        signature: Name of the signature; None where the model has none.
        subgraph: Number of the graph.
        inputs: Inputs in the order of the graph.
        outputs: Outputs in the order of the graph.
    """

    signature: str | None
    subgraph: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def choose_interface(model: Model, wanted: str | None) -> Interface:
    """Return the entry point that the user means.

    Args:
        model: The model.
        wanted: Name of a signature; None for the only one, or ``serving_default``.

    Raises:
        InputError: If there is no such signature, or several to choose from.
    """
    signature = _choose(model.signatures, wanted)
    number = signature.subgraph if signature else 0
    graph = model.subgraphs[number]
    inputs = [graph.tensors[index] for index in graph.inputs]
    outputs = [graph.tensors[index] for index in graph.outputs]
    taken: set[str] = set()
    return Interface(
        signature.key if signature else None,
        number,
        _ports(inputs, signature.inputs if signature else {}, taken),
        _ports(outputs, signature.outputs if signature else {}, taken),
    )


def _choose(signatures: Sequence[Signature], wanted: str | None) -> Signature | None:
    names = [signature.key for signature in signatures]
    if wanted is not None:
        if wanted in names:
            return signatures[names.index(wanted)]
        raise InputError(
            f"the model has no signature {wanted!r}",
            where="--signature",
            hint=f"it has: {', '.join(names)}" if names else "it has none; leave --signature out",
        )
    if len(signatures) <= 1:
        return signatures[0] if signatures else None
    if _DEFAULT in names:
        return signatures[names.index(_DEFAULT)]
    raise InputError(
        f"the model has {len(names)} signatures",
        where="--signature",
        hint=f"choose one by --signature: {', '.join(names)}",
    )


def _ports(
    tensors: Iterable[Tensor], named: Mapping[str, int], taken: set[str]
) -> tuple[Port, ...]:
    """Name tensors in order; one that a signature gives under several names comes once for each.

    Args:
        tensors: The tensors.
        named: Number of a tensor by its name in the signature.
        taken: Names that are given away; those of these tensors are added.
    """
    ports: list[Port] = []
    for tensor in tensors:
        names = [name for name, index in named.items() if index == tensor.index]
        free = [name for name in names if name not in taken]
        for base in free or [names[0] if names else tensor.name or "tensor"]:
            name, count = base, 1
            while name in taken:
                name, count = f"{base}_{count}", count + 1
            taken.add(name)
            ports.append(Port(name, tensor))
    return tuple(ports)


def name_dims(
    ports: Sequence[Port], stated: Sequence[InputSpec]
) -> dict[str, tuple[int | str, ...]]:
    """Return the dims of every input; a dynamic one gets a name, or what the user states.

    Args:
        ports: The inputs.
        stated: Inputs as the user states them.

    Raises:
        InputError: If an input is stated that is none, or with another rank, size or dtype.
    """
    specs = {spec.name: spec for spec in stated}
    unknown = sorted(set(specs) - {port.name for port in ports})
    if unknown:
        raise InputError(
            f"--input names {unknown}, and the model's inputs are {[port.name for port in ports]}",
            where="--input",
            hint="`irconv inspect` shows the inputs",
        )
    return {port.name: _dims(port, specs.get(port.name)) for port in ports}


def _dims(port: Port, spec: InputSpec | None) -> tuple[int | str, ...]:
    shape = port.tensor.shape
    if shape is None:
        raise InputError(
            f"the rank of input {port.name!r} is not in the file",
            where="frontend tflite",
            hint="convert the model with input shapes",
        )
    dims = tuple(
        size if size is not None else _BATCH if axis == 0 else f"{port.name}_{axis}"
        for axis, size in enumerate(shape)
    )
    if spec is None:
        return dims
    if spec.dtype not in (None, port.tensor.dtype) or len(spec.dims) != len(dims):
        raise _other(port, spec)
    for size, given in zip(shape, spec.dims, strict=True):
        if size is not None and given not in (None, size):
            raise _other(port, spec)
    return tuple(
        given if size is None and given is not None else dim
        for size, given, dim in zip(shape, spec.dims, dims, strict=True)
    )


def _other(port: Port, spec: InputSpec) -> InputError:
    sizes = ["?" if size is None else size for size in port.tensor.shape or ()]
    return InputError(
        f"input {port.name!r} is {port.tensor.dtype}{sizes}, not "
        f"{spec.dtype or port.tensor.dtype}{list(spec.dims)}",
        where="--input",
        hint="name or fix its dynamic dimensions only",
    )
