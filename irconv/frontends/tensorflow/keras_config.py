"""The configuration of a Keras model: JSON that names what Keras builds and calls.

Keras builds every object that the configuration names. A name may stand for code in the file
(a Lambda layer), for any class or function that can be imported, or for a file that a layer
opens. Everything but Keras's own layers and their parts is refused here, before Keras sees it;
https://keras.io/api/models/model_saving_apis describes the format.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown

__all__ = ["dangers_of_config", "describe_config", "parse_config"]

_WHERE = "frontend tensorflow"
_MODULES = frozenset(
    f"{root}{module}"
    for root in ("keras", "keras.src", "tf_keras", "tf_keras.src", "tensorflow.keras")
    for module in (
        "",
        ".activations",
        ".constraints",
        ".dtype_policies",
        ".initializers",
        ".layers",
        ".losses",
        ".metrics",
        ".models",
        ".ops",
        ".optimizers",
        ".quantizers",
        ".random",
        ".regularizers",
    )
)
_VALUES = frozenset(
    {
        "__bytes__",
        "__ellipsis__",
        "__keras_tensor__",
        "__numpy__",
        "__slice__",
        "__tensor__",
        "__tuple__",
        "__wrapped__",
    }
)
_CODE = {
    "Lambda": "a Lambda layer: Python code that the file holds",
    "__lambda__": "a Python lambda that the file holds",
    "TFSMLayer": "a layer that loads another SavedModel",
    "TorchModuleWrapper": "a layer that unpickles a PyTorch module",
    "FlaxLayer": "a layer that calls Flax code",
    "JaxLayer": "a layer that calls JAX code",
    "TFOpLambda": "a layer that calls a TensorFlow function by name",
    "SlicingOpLambda": "a layer that calls a Python function by name",
}
_FILES = ("vocabulary", "filepath", "path", "file", "url", "origin")
_UNREAD = ("compile_config", "optimizer_config", "training_config")
_CONTAINERS = ("Functional", "Sequential", "Model")


def parse_config(content: bytes, what: str) -> dict[str, Any]:
    """Parse a configuration; what only training needs is left out.

    Raises:
        InputError: If it is no JSON object that names a class.
    """
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _wrong(f"{what} is no sound JSON: {reason}") from error
    if not isinstance(document, dict) or not isinstance(document.get("class_name"), str):
        raise _wrong(f"{what} does not say which class the model is of")
    return {key: value for key, value in document.items() if key not in _UNREAD}


def _wrong(what: str) -> InputError:
    return InputError(what, where=_WHERE, hint="the file is damaged; save the model again")


def dangers_of_config(document: Mapping[str, Any]) -> list[str]:
    """Return every object of a configuration that is more than a part of Keras, each once."""
    found: dict[str, None] = {}
    stack: list[tuple[object, str]] = [(document, "the model")]
    while stack:
        value, place = stack.pop()
        if isinstance(value, dict):
            place = _place(value, place)
            for reason in _judge(value):
                found[f"{place}: {reason}"] = None
            stack += [(item, place) for item in reversed(value.values())]
        elif isinstance(value, list):
            stack += [(item, place) for item in reversed(value)]
    return list(found)


def _place(value: Mapping[str, Any], outer: str) -> str:
    """Return the layer that a part of the configuration belongs to."""
    config = value.get("config")
    name = config.get("name") if isinstance(config, dict) and "class_name" in value else None
    return f"layer {shown(name)}" if isinstance(name, str) else outer


def _judge(value: Mapping[str, Any]) -> Iterator[str]:
    name = value.get("class_name", value.get("spec_name"))
    if "class_name" in value or "registered_name" in value:
        yield from _judge_class(str(name), value)
    for key in _FILES:
        if isinstance(value.get(key), str):
            yield f"a file to read, {key} {shown(value[key])}"


def _judge_class(name: str, value: Mapping[str, Any]) -> Iterator[str]:
    module = value.get("module", "keras")
    registered = value.get("registered_name")
    if name in _CODE:
        yield _CODE[name]
    elif name.startswith("__") and name not in _VALUES:
        yield f"an object of the kind {shown(name)}"
    elif name == "function":
        if not _is_builtin(module) and module != "builtins":
            yield f"the function {shown(str(value.get('config')))} of {shown(str(module))}"
    elif not _is_builtin(module):
        yield f"the class {shown(name)} of {_where(module)}, which is not part of Keras"
    elif isinstance(registered, str) and ">" in registered and not registered.startswith("keras"):
        yield f"the registered class {shown(registered)}, which is not part of Keras"


def _where(module: object) -> str:
    return shown(module) if isinstance(module, str) else "no module"


def _is_builtin(module: object) -> bool:
    """Say whether a module is one of Keras that holds parts of models, or below one."""
    if not isinstance(module, str):
        return False
    parts = module.split(".")
    depth = 3 if "src" in parts[:2] else 2
    return module in _MODULES or ".".join(parts[:depth]) in _MODULES - {"keras", "keras.src"}


def describe_config(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON-ready facts: class, layers, and inputs and outputs where they are stated."""
    layers = list(_layers(document))
    kinds = Counter(str(layer.get("class_name")) for layer in layers)
    inputs = [_input(layer) for layer in layers if layer.get("class_name") == "InputLayer"]
    config = document.get("config")
    outputs = config.get("output_layers") if isinstance(config, dict) else None
    return {
        "model_class": document["class_name"],
        "inputs": inputs,
        "outputs": _output_names(outputs, layers),
        "layers": len(layers),
        "layer_kinds": dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
    }


def _layers(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the layers of a model; those of models inside it too, without their inputs."""
    stack = [(document, True)]
    while stack:
        model, outermost = stack.pop()
        config = model.get("config")
        layers = config.get("layers") if isinstance(config, dict) else None
        for layer in layers if isinstance(layers, list) else ():
            if not isinstance(layer, dict):
                continue
            if layer.get("class_name") in _CONTAINERS:
                stack.append((layer, False))
            elif outermost or layer.get("class_name") != "InputLayer":
                yield layer


def _input(layer: Mapping[str, Any]) -> dict[str, Any]:
    config = layer.get("config")
    config = config if isinstance(config, dict) else {}
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    return {"name": config.get("name"), "dtype": config.get("dtype"), "shape": shape}


def _output_names(outputs: object, layers: list[Mapping[str, Any]]) -> list[str]:
    if isinstance(outputs, dict):
        return [str(name) for name in outputs]
    if isinstance(outputs, list) and outputs:
        entries = outputs if isinstance(outputs[0], list) else [outputs]
        return [str(entry[0]) for entry in entries if isinstance(entry, list) and entry]
    config = layers[-1].get("config") if layers else None
    return [str(config.get("name"))] if isinstance(config, dict) else []
