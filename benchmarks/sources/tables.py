"""The documents of the frontends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from documents import Documents, Results, versions

__all__ = ["read_results", "write_results"]

_DISTRIBUTIONS = (
    "irconv", "torch", "transformers", "tensorflow-cpu", "keras", "tf2onnx", "ai-edge-litert",
    "onnx", "onnxruntime",
)  # fmt: skip


def read_results() -> Results:
    """Return the committed results by source."""
    return _DOCUMENTS.read()


def write_results(results: Mapping[str, Any]) -> None:
    """Write ``docs/reference/frontends.json`` and ``frontends.md``; sources not run stay."""
    _DOCUMENTS.write(read_results() | dict(results))


def _page(sources: Results, measured: Mapping[str, Any]) -> list[str]:
    models = {record["model"] for record in sources.values()}
    passed = sum(record["status"] == "pass" for record in sources.values())
    by_form: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in sources.values():
        by_form[record["form"]].append(record)
    return [
        "# Frontends",
        "",
        (
            "Written by `python benchmarks/frontends.py --write`. "
            f"{len(models)} architectures are saved by their own frameworks, offline and with "
            f"seeded weights that do not fade, in {len(sources)} files of {len(by_form)} forms. "
            "Each is imported without any optimization, run in ONNX Runtime, and compared with "
            "what its framework gives for the same inputs; *pass* means within the derived "
            f"tolerance. {passed} of {len(sources)} pass ({100 * passed / len(sources):.0f}%)."
        ),
        "",
        f"Measured on {measured['machine']}; {versions(measured)}.",
        "",
        "| form | passes |",
        "|---|---|",
        *(
            f"| {form} | {sum(record['status'] == 'pass' for record in records)} of "
            f"{len(records)} |"
            for form, records in sorted(by_form.items())
        ),
        "",
        "| model | form | frontend | result | largest error | tolerance | seconds to import |",
        "|---|---|---|---|---|---|---|",
        *(_row(record) for record in sources.values()),
    ]


def _row(record: Mapping[str, Any]) -> str:
    head = f"| {record['model']} | {record['form']} | {record.get('frontend', '-')} "
    if record["status"] != "pass":
        return head + f"| {record['status'].replace('|', '/')} | | | |"
    return head + (
        f"| pass | {record['max_abs']:.1e} | {record['tolerance']:.1e} | {record['seconds']:.1f} |"
    )


_DOCUMENTS = Documents("frontends", "sources", _DISTRIBUTIONS, _page)
