"""Looking at models, bundles and the installation, executing nothing in them."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from irconv import __version__
from irconv.bundle import MANIFEST, environment, open_bundle
from irconv.errors import IrconvError
from irconv.frontends.choose import choose_frontend
from irconv.plugins import Registry, load_registry
from irconv.worker import Worker, WorkerLimits

__all__ = ["diagnose", "inspect_path"]

_DOCTOR_SECONDS = 60.0


def inspect_path(path: str, frontend_spec: str | None = None) -> dict[str, Any]:
    """Return JSON-ready facts about a model or a bundle.

    Args:
        path: The model or the bundle.
        frontend_spec: Spec text of the frontend to look at a model with; None to choose it.

    Raises:
        InputError: If it is neither, or broken.
    """
    registry = load_registry()
    if (Path(path) / MANIFEST).is_file() or Path(path).name == MANIFEST:
        return _inspect_bundle(path, registry)
    frontend = choose_frontend(registry, path, frontend_spec)
    return {"kind": "model", "frontend": frontend.name, "path": path, **frontend.inspect(path)}


def _inspect_bundle(path: str, registry: Registry) -> dict[str, Any]:
    bundle = open_bundle(path)
    try:
        availability = registry.build_backend(bundle.target).available()
        here = {"ok": availability.ok, "detail": availability.detail}
    except IrconvError as error:
        here = {"ok": False, "detail": error.what}
    try:
        bundle.check_digests()
        digests = "hold"
    except IrconvError as error:
        digests = error.what
    return {
        "kind": "bundle",
        "path": str(bundle.directory),
        "digests": digests,
        "loads_here": here,
        "here": environment(bundle.manifest["environment"]["packages"]),
        "manifest": dict(bundle.manifest),
    }


def diagnose() -> dict[str, Any]:
    """Check the installation: interpreter, dependencies, plugins, and a worker per target."""
    registry = load_registry()
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    return {
        "irconv": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "dependencies": {
            "ok": pip.returncode == 0,
            "detail": (pip.stdout + pip.stderr).strip().splitlines(),
        },
        "plugins": [asdict(record) for record in registry.records()],
        "targets": {name: _try_target(name, registry) for name in registry.backends()},
        "frontends": {
            name: asdict(cls().available()) for name, cls in registry.frontends().items()
        },
    }


def _try_target(name: str, registry: Registry) -> dict[str, Any]:
    """Say whether a target is available and whether a worker can host its backend."""
    availability = registry.build_backend(name).available()
    if not availability.ok:
        return asdict(availability)
    try:
        Worker(
            "irconv.runtime.service:BackendService",
            {"target": name},
            limits=WorkerLimits(seconds=_DOCTOR_SECONDS),
            label=f"backend {name}",
        ).close()
    except IrconvError as error:
        return {"ok": False, "detail": error.what, "way_out": error.hint}
    return asdict(availability)
