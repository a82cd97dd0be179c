"""Running OpenVINO IR in OpenVINO's own runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.errors import BackendError, Diagnostic, InputError, MissingError, UnsupportedError
from irconv.runtime.base import Feeds, Runner, Value
from irconv_openvino.dtypes import ELEMENT_TYPES
from irconv_openvino.sdk import first_line, load_openvino
from irconv_openvino.tensors import from_tensor, to_tensor

if TYPE_CHECKING:
    from irconv.backends.base import Artifact

__all__ = ["OpenvinoRunner"]


class OpenvinoRunner(Runner):
    """A compiled OpenVINO model.

    The states of a stateful one begin as the artifact says and are kept from run to run. An input
    that is a state may be left out of the feeds; where it is given, it sets the state. What the
    states are after a run is among the outputs.

    Args:
        directory: The artifact's directory.
        artifact: The artifact; ``requires["config"]`` is set on the device as it stands.

    Raises:
        MissingError: If the device is not here.
        UnsupportedError: If the device's compiler refuses the model.
    """

    def __init__(self, directory: Path, artifact: Artifact) -> None:
        self._openvino = load_openvino()
        self._device: str = artifact.requires["device"]
        self._inputs: list[Mapping[str, Any]] = list(artifact.data["inputs"])
        self._outputs: list[Mapping[str, Any]] = list(artifact.data["outputs"])
        self._states: list[Mapping[str, Any]] = list(artifact.data.get("states", ()))
        core = self._openvino.Core()
        if self._device.split(".")[0] not in core.available_devices:
            raise MissingError(
                f"OpenVINO has no device {self._device!r} here; it has "
                + ", ".join(core.available_devices),
                where="openvino",
                hint="use a machine with that device and its driver, or openvino{device=CPU}",
            )
        try:
            self._compiled = core.compile_model(
                str(directory / artifact.main), self._device, dict(artifact.requires["config"])
            )
        except RuntimeError as error:
            raise UnsupportedError(
                "openvino",
                [Diagnostic("COMPILE", f"OpenVINO's compiler says: {first_line(error)}")],
                where=f"openvino, device {self._device}",
            ) from error
        self._request = self._compiled.create_infer_request()

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        if self._request is None:
            raise BackendError("the runner is closed", where="run")
        for entry in self._inputs:
            if entry["index"] is None:
                continue
            port = self._compiled.inputs[entry["index"]]
            value = feeds[entry["name"]]
            if value is None or isinstance(value, (list, dict)):
                raise InputError(f"input {entry['name']!r} must be a tensor", where="openvino")
            tensor = to_tensor(self._openvino, np.asarray(value), port.get_element_type())
            try:
                self._request.set_input_tensor(entry["index"], tensor)
            except RuntimeError as error:
                raise InputError(
                    f"input {entry['name']!r} has shape {list(np.shape(value))}, and the artifact "
                    f"takes {port.get_partial_shape()}",
                    where="openvino",
                    hint="compile it with a --shape that has this size, or none",
                ) from error
        self._set_states(feeds)
        try:
            self._request.infer()
        except RuntimeError as error:
            raise BackendError(f"OpenVINO: {first_line(error)}", where="run") from error
        kept = self._kept_states()
        results = {
            state["output"]: from_tensor(kept[state["name"]].state, state["dtype"])
            for state in self._states
        }
        for entry in self._outputs:
            if entry["index"] is not None:
                tensor = self._request.get_output_tensor(entry["index"])
                results[entry["name"]] = from_tensor(tensor, entry["dtype"])
        return {entry["name"]: results[entry["name"]] for entry in self._outputs}

    def _kept_states(self) -> dict[str, Any]:
        if not self._states:
            return {}
        return {state.name: state for state in self._request.query_state()}

    def _set_states(self, feeds: Feeds) -> None:
        kept = self._kept_states()
        for state in self._states:
            value = feeds.get(state["input"])
            if not isinstance(value, np.ndarray):
                continue
            kind = getattr(self._openvino.Type, ELEMENT_TYPES[state["dtype"]])
            try:
                kept[state["name"]].state = to_tensor(self._openvino, value, kind)
            except RuntimeError as error:
                raise InputError(
                    f"the state {state['input']!r} cannot be of shape {list(value.shape)}: "
                    f"{first_line(error)}",
                    where="openvino",
                ) from error

    def describe(self) -> dict[str, str]:
        """Return what ran, with the precision that the device says it computes in."""
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        return {
            "runtime": "openvino",
            "version": str(self._openvino.__version__),
            "device": self._device,
            "precision": precision.to_string(),
        }

    def close(self) -> None:
        """Free the compiled model; a runner may be closed twice."""
        self._request = self._compiled = None
