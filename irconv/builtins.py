"""The built-in frontends, passes and backends, registered by the same hooks as plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.hookspecs import hookimpl

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.frontends.base import Frontend
    from irconv.passes.base import Pass


@hookimpl
def irconv_frontends() -> list[type[Frontend]]:
    """Return the frontends of the core."""
    from irconv.frontends.onnx import OnnxFrontend
    from irconv.frontends.pytorch import PytorchFrontend
    from irconv.frontends.tensorflow import TensorflowFrontend
    from irconv.frontends.tflite import TfliteFrontend
    from irconv.frontends.torchscript import TorchScriptFrontend

    return [
        OnnxFrontend,
        TorchScriptFrontend,
        PytorchFrontend,
        TensorflowFrontend,
        TfliteFrontend,
    ]


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the passes of the core."""
    from irconv.passes.catalog import PASSES

    return list(PASSES)


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backends of the core."""
    from irconv.backends.onnx import OnnxBackend

    return [OnnxBackend]
