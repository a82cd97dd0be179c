"""The one door to NVIDIA's libraries: TensorRT-RTX, or classic TensorRT where it is installed.

Both have the same Python API for parsing, building and running, but for three things that this
module hides: the module's name, how target GPUs are named, and which logger counts. TensorRT
listens to the first logger of a process only, so there is exactly one here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

from irconv.backends.base import Availability
from irconv.errors import MissingError
from irconv_trt import cuda

__all__ = ["DTYPES", "Flavor", "Message", "Sdk", "availability", "load"]

Flavor = Literal["rtx", "classic"]

DTYPES = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8",
    "INT32": "int32", "INT64": "int64", "BOOL": "bool", "UINT8": "uint8",
    "FP8": "float8_e4m3fn", "INT4": "int4", "FP4": "float4_e2m1fn",
}  # fmt: skip
"""Full dtype names by the names of TensorRT's ``DataType``."""

_MODULES: dict[Flavor, str] = {"rtx": "tensorrt_rtx", "classic": "tensorrt"}
_DISTRIBUTIONS: dict[Flavor, tuple[str, ...]] = {
    "rtx": ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
    "classic": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}
_WAYS_OUT: dict[Flavor, str] = {
    "rtx": "pip install tensorrt-rtx-cu13",
    "classic": "pip install tensorrt, on a machine with an NVIDIA GPU; "
    "or leave flavor=classic out, which needs no GPU to build",
}


@dataclass(frozen=True)
class Message:
    """One line that the library logged; ``severity`` is ``WARNING``, ``ERROR`` or the like."""

    severity: str
    text: str


@dataclass(frozen=True)
class Sdk:
    """A loaded library.

    Attributes:
        module: The Python module.
        flavor: Which of the two it is.
        logger: The logger to give to every builder and runtime.
    """

    module: Any
    flavor: Flavor
    logger: Any

    @property
    def version(self) -> str:
        """The library's version, such as ``1.7.1.116``."""
        return str(self.module.__version__)

    @property
    def runtime(self) -> str:
        """The name of the library, as it stands in a manifest."""
        return "tensorrt-rtx" if self.flavor == "rtx" else "tensorrt"

    def drain(self) -> list[Message]:
        """Return what was logged since the last call."""
        messages = list(self.logger.messages)
        self.logger.messages.clear()
        return messages


def availability(flavor: Flavor) -> Availability:
    """Say whether a flavor can build here; imports neither."""
    version = _installed_version(flavor)
    if version is None:
        return Availability(False, f"{_MODULES[flavor]} is not installed", _WAYS_OUT[flavor])
    devices = cuda.devices()
    if flavor == "classic" and not devices:
        return Availability(
            False,
            f"tensorrt {version} is installed, but it builds only for the GPU at hand and there "
            "is none",
            _WAYS_OUT[flavor],
        )
    where = ", ".join(str(device) for device in devices) or "no NVIDIA GPU: builds, does not run"
    return Availability(True, f"{_MODULES[flavor].replace('_', '-')} {version}, {where}")


def _installed_version(flavor: Flavor) -> str | None:
    if importlib.util.find_spec(_MODULES[flavor]) is None:
        return None
    for distribution in _DISTRIBUTIONS[flavor]:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def load(flavor: Flavor) -> Sdk:
    """Import a flavor.

    Raises:
        MissingError: If it is not installed, does not load, or cannot build here.
    """
    state = availability(flavor)
    if not state.ok:
        raise MissingError(state.detail, where="target trt", hint=state.way_out)
    return _load(flavor)


@functools.cache
def _load(flavor: Flavor) -> Sdk:
    try:
        module = importlib.import_module(_MODULES[flavor])
    except (ImportError, OSError) as error:
        raise MissingError(
            f"{_MODULES[flavor]} is installed but does not load: {error}",
            where="target trt",
            hint=_WAYS_OUT[flavor],
        ) from error
    return Sdk(module, flavor, _make_logger(module))


def _make_logger(module: Any) -> Any:
    class Collector(module.ILogger):  # type: ignore[misc]
        """Keeps what the library logs until it is drained."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.messages: list[Message] = []

        def log(self, severity: Any, text: str) -> None:
            if severity in wanted:
                self.messages.append(Message(severity.name, text))

    severities = module.ILogger.Severity
    wanted = {severities.WARNING, severities.ERROR, severities.INTERNAL_ERROR}
    return Collector()
