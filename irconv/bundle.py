"""Bundles: an artifact, its goldens and the manifest that says what was proved.

A bundle is a directory ``<output>/<target>/``. Its manifest lists every file with its digest;
a file that is missing, changed or not listed makes the bundle invalid.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from irconv import __version__
from irconv.backends.base import Artifact
from irconv.errors import InputError, MismatchError
from irconv.runtime.base import TensorSpec

__all__ = ["MANIFEST", "SCHEMA", "Bundle", "environment", "file_digest", "open_bundle"]

SCHEMA = "irconv-bundle-1"
MANIFEST = "manifest.json"
GOLDEN = "golden"
_CHUNK = 1 << 20
_MAX_MANIFEST_BYTES = 64 << 20


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def list_files(directory: Path) -> list[dict[str, Any]]:
    """Return path, digest and size of every file below ``directory`` but the manifest."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return [
        {
            "path": path.relative_to(directory).as_posix(),
            "sha256": file_digest(path),
            "bytes": path.stat().st_size,
        }
        for path in paths
        if path != directory / MANIFEST
    ]


def environment(distributions: Iterable[str]) -> dict[str, Any]:
    """Return the manifest's ``environment``: interpreter, platform, package versions."""
    packages: dict[str, str] = {}
    for name in distributions:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items())),
    }


def creation_time() -> str:
    """Return the time of creation in UTC; ``SOURCE_DATE_EPOCH`` makes it reproducible."""
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def write_manifest(directory: Path, facts: Mapping[str, Any], artifact: Artifact) -> dict[str, Any]:
    """Complete ``facts`` with the files of ``directory`` and write the manifest there.

    Args:
        directory: The bundle's directory, with the artifact and ``golden/`` in it.
        facts: The manifest's keys but ``schema``, ``irconv``, ``created`` and ``artifact``.
        artifact: What the backend emitted.
    """
    files = list_files(directory)
    goldens = [entry for entry in files if entry["path"].startswith(f"{GOLDEN}/")]
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "irconv": __version__,
        "created": creation_time(),
        **facts,
        "artifact": {
            **artifact.to_json(),
            "files": [entry for entry in files if entry not in goldens],
        },
        "golden": {"files": goldens},
    }
    text = json.dumps(manifest, indent=2, sort_keys=False, allow_nan=False)
    (directory / MANIFEST).write_text(text + "\n")
    return manifest


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        directory: Where it lies.
        manifest: The parsed manifest.
    """

    directory: Path
    manifest: Mapping[str, Any]

    @property
    def target(self) -> str:
        """Spec text of the target."""
        return str(self.manifest["target"])

    @property
    def artifact(self) -> Artifact:
        """What the backend emitted."""
        return Artifact.from_json(self.manifest["artifact"])

    @property
    def inputs(self) -> list[TensorSpec]:
        """Specs of the inputs, in order."""
        return [TensorSpec.from_json(entry) for entry in self.manifest["inputs"]]

    @property
    def outputs(self) -> list[TensorSpec]:
        """Specs of the outputs, in order."""
        return [TensorSpec.from_json(entry) for entry in self.manifest["outputs"]]

    @property
    def golden(self) -> Path:
        """The folder with golden inputs and outputs."""
        return self.directory / GOLDEN

    def check_digests(self) -> None:
        """Check every file against the manifest, and that no other file lies there.

        Raises:
            MismatchError: Listing every file that is missing, changed or unknown.
        """
        listed = {
            entry["path"]: entry
            for part in ("artifact", "golden")
            for entry in self.manifest[part]["files"]
        }
        problems: list[str] = []
        for path, entry in sorted(listed.items()):
            file = self.directory / path
            if not file.is_file() or file.is_symlink():
                problems.append(f"{path} is missing")
            elif file.stat().st_size != entry["bytes"] or file_digest(file) != entry["sha256"]:
                problems.append(f"{path} was changed")
        present = {
            path.relative_to(self.directory).as_posix()
            for path in self.directory.rglob("*")
            if not path.is_dir()
        }
        problems += [f"{path} is unknown" for path in sorted(present - set(listed) - {MANIFEST})]
        if problems:
            raise MismatchError(
                "the bundle is not what was proved: " + "; ".join(problems),
                where=str(self.directory),
                hint="compile it again, or restore it from where it came",
            )


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle and check its manifest's form; digests are checked separately.

    Raises:
        InputError: If there is no bundle, or its manifest is broken or leaves the folder.
    """
    directory = Path(path)
    directory = directory.parent if directory.name == MANIFEST else directory
    file = directory / MANIFEST
    try:
        if file.stat().st_size > _MAX_MANIFEST_BYTES:
            raise InputError(f"{file} is too large for a manifest", where="bundle")
        manifest = json.loads(file.read_text())
    except FileNotFoundError:
        raise _no_bundle(directory) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}", where="bundle") from error
    try:
        _check_form(manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file} is no manifest of schema {SCHEMA}: {error}",
            where="bundle",
            hint="compile the model again with this version of irconv",
        ) from error
    return Bundle(directory, manifest)


def _no_bundle(directory: Path) -> InputError:
    inside = sorted(entry.parent.name for entry in directory.glob(f"*/{MANIFEST}"))
    hint = "give the folder that `irconv compile` wrote for one target"
    if inside:
        hint = "give one of its targets: " + ", ".join(str(directory / name) for name in inside)
    return InputError(f"{directory} is no bundle: it has no {MANIFEST}", where="bundle", hint=hint)


def _check_form(manifest: Any) -> None:
    if manifest["schema"] != SCHEMA:
        raise ValueError(f"its schema is {manifest['schema']!r}")
    str(manifest["target"])
    Artifact.from_json(manifest["artifact"])
    for side in ("inputs", "outputs"):
        for entry in manifest[side]:
            TensorSpec.from_json(entry)
    entries = [*manifest["artifact"]["files"], *manifest["golden"]["files"]]
    names = [entry["path"] for entry in entries] + [manifest["artifact"]["main"]]
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise ValueError(f"path {name!r} leaves the bundle")
    for entry in entries:
        int(entry["bytes"])
        str(entry["sha256"])
