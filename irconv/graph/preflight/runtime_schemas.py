"""The operators that the installed ONNX Runtime knows, beyond the ONNX standard."""

from __future__ import annotations

from functools import cache

__all__ = ["runtime_schemas"]


@cache
def runtime_schemas() -> dict[tuple[str, str], list[tuple[int, bool]]]:
    """Return the versions of each operator, by domain and name, and if each is deprecated."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    schemas: dict[tuple[str, str], list[tuple[int, bool]]] = {}
    for schema in get_all_operator_schema():
        versions = schemas.setdefault((schema.domain, schema.name), [])
        versions.append((schema.since_version, schema.deprecated))
    return schemas
