"""The documents of the model zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from documents import Documents, Results, versions

__all__ = ["read_results", "write_results"]

_DISTRIBUTIONS = (
    "irconv", "torch", "transformers", "keras", "onnx", "onnxruntime", "openvino",
    "tensorrt-rtx-cu13", "ai-edge-litert", "coremltools", "executorch",
)  # fmt: skip


def read_results() -> Results:
    """Return the committed results by model: ``family``, ``nodes``, ``bytes`` and ``targets``."""
    return _DOCUMENTS.read()


def write_results(results: Mapping[str, Any]) -> None:
    """Write ``docs/reference/zoo.json`` and ``zoo.md``; models and targets not run stay."""
    merged = read_results()
    for model, record in results.items():
        targets = merged.get(model, {}).get("targets", {}) | record["targets"]
        merged[model] = record | {"targets": targets}
    _DOCUMENTS.write(merged)


def _page(models: Results, measured: Mapping[str, Any]) -> list[str]:
    targets = sorted({target for record in models.values() for target in record["targets"]})
    names = {model.rsplit("-", 1)[0] for model in models}
    return [
        "# Model zoo",
        "",
        (
            "Written by `python benchmarks/zoo.py --write` (`make zoo`). "
            f"{len(names)} architectures are generated offline from configurations of "
            "transformers and Keras and a few modules of our own, small but of full depth in "
            "their kinds of layers, with seeded weights that do not fade, and exported by "
            "PyTorch at opset 20; `static` with the sizes of one sample, `dynamic` with free "
            "batch and, where the architecture allows it, sequence or image size. Each goes "
            "through the public `compile` with two samples of different sizes in the dynamic "
            "form. *pass* means that the artifact gave the source's outputs within the derived "
            "tolerance, on the level that its column head names."
        ),
        "",
        f"Measured on {measured['machine']}; {versions(measured)}.",
        "",
        "| target | level | static | dynamic |",
        "|---|---|---|---|",
        *(_summary(target, models) for target in targets),
        "",
        "## By model",
        "",
        (
            "Of what passes: seconds to legalize and emit, and memory of the worker that emits "
            "and runs it."
        ),
        "",
        "| model | form | nodes | MB | " + " | ".join(f"`{target}`" for target in targets) + " |",
        "|---|---|---|---|" + "---|" * len(targets),
        *(_row(model, record, targets) for model, record in models.items()),
    ]


def _summary(target: str, models: Results) -> str:
    cells = []
    levels = set()
    for form in ("static", "dynamic"):
        records = [
            record["targets"][target]
            for model, record in models.items()
            if model.endswith(f"-{form}") and target in record["targets"]
        ]
        passed = [record for record in records if record["status"] == "pass"]
        levels |= {record["level"] for record in passed}
        share = f" ({100 * len(passed) / len(records):.0f}%)" if records else ""
        cells.append(f"{len(passed)} of {len(records)}{share}")
    return f"| `{target}` | {', '.join(sorted(levels))} | {cells[0]} | {cells[1]} |"


def _row(model: str, record: Mapping[str, Any], targets: list[str]) -> str:
    name, form = model.rsplit("-", 1)
    cells = [_cell(record["targets"].get(target)) for target in targets]
    size = f"{record['bytes'] / 1e6:.1f}"
    return f"| {name} | {form} | {record['nodes']} | {size} | " + " | ".join(cells) + " |"


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    if entry["status"] == "pass":
        return f"pass, {entry['seconds']:.1f} s, {entry['mib']} MiB"
    return entry["status"].replace("|", "\\|")


_DOCUMENTS = Documents("zoo", "models", _DISTRIBUTIONS, _page)
