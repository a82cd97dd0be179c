"""Which opset versions a model stands for, and whether they are known.

A model is read as ONNX Runtime reads it: of two imports of one domain the last holds, a domain
without an import has the newest version, and ``ai.onnx`` is another name of the default domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

import onnx
import onnx.defs

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown
from irconv.graph.preflight.runtime_schemas import runtime_schemas

__all__ = ["check_ir_version", "domain_of", "settle_opsets"]

_OLDEST_IR_VERSION = 3
"""The first IR version with ``opset_import`` (ONNX specification, "Versioning")."""


def domain_of(name: str) -> str:
    """Return the domain that a name stands for: ``ai.onnx`` is the default domain."""
    return "" if name == "ai.onnx" else name


def check_ir_version(model: onnx.ModelProto) -> None:
    """Check that the model's IR version is one that can be read.

    Raises:
        InputError: If it is not.
    """
    newest = int(onnx.IR_VERSION)
    if not _OLDEST_IR_VERSION <= model.ir_version <= newest:
        raise InputError(
            f"the model has IR version {model.ir_version}; versions {_OLDEST_IR_VERSION} to "
            f"{newest} can be read",
            where="checking the model file",
            hint="export it again, or install a newer onnx and onnxruntime if it is newer",
        )


@cache
def _newest_standard(domain: str) -> int | None:
    """Return the newest version of a domain of the ONNX standard, None for another domain."""
    if domain == "":
        return int(onnx.defs.onnx_opset_version())
    schemas = onnx.defs.get_all_schemas_with_history()
    versions = [int(schema.since_version) for schema in schemas if schema.domain == domain]
    return max(versions, default=None)


def _newest(domain: str) -> int | None:
    standard = _newest_standard(domain)
    if standard is not None:
        return standard
    known = [versions for (of, _), versions in runtime_schemas().items() if of == domain]
    return max((version for versions in known for version, _ in versions), default=None)


def settle_opsets(
    proto: onnx.ModelProto | onnx.FunctionProto,
    used: Iterable[str],
    fallback: Mapping[str, int],
    note: Callable[[str], None],
    owner: str,
) -> dict[str, int]:
    """Make the opset imports of a model or function unambiguous, in place.

    Args:
        proto: The owner of the imports, which are left sorted, one for each domain.
        used: The domains that need an import.
        fallback: Versions of domains that the owner may leave out.
        note: Takes what was changed, in plain words.
        owner: Whose imports they are, for messages.

    Returns:
        The version of each domain.

    Raises:
        InputError: If a version is out of the known range.
    """
    settled: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = domain_of(entry.domain)
        if domain in settled:
            note(
                f"{owner} imports the domain {shown(domain)} more than once; the last version, "
                f"{entry.version}, is used"
            )
        settled[domain] = entry.version
    for domain in sorted(set(used) - settled.keys()):
        version = fallback.get(domain) or _newest(domain)
        if version is not None:
            settled[domain] = version
            note(f"{owner} does not import the domain {shown(domain)}; version {version} is used")
    for domain, version in settled.items():
        newest = _newest_standard(domain)
        if version < 1 or (newest is not None and version > newest):
            raise InputError(
                f"{owner} has version {version} of the operator set {shown(domain)}; "
                f"versions from 1 to {newest or 'any'} can be read",
                where="checking the model file",
                hint="export it with an older opset, or install a newer onnx and onnxruntime",
            )
    del proto.opset_import[:]
    for domain, version in sorted(settled.items()):
        proto.opset_import.add(domain=domain, version=version)
    return settled
