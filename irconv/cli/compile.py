"""``irconv compile``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irconv.cli.options import (
    changed_options,
    json_option,
    judging_options,
    limit_options,
    source_options,
    target_option,
)
from irconv.cli.output import emit_json, human_bytes, print_error, print_table, progress
from irconv.config import CompileOptions

if TYPE_CHECKING:
    from irconv.results import CompileResult, TargetResult


@click.command("compile")
@click.argument("model")
@target_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build"),
    show_default=True,
    help="Folder for the bundles, one a target.",
)
@source_options
@click.option(
    "-O",
    "level",
    type=click.IntRange(0, 3),
    help="Level: 0 nothing, 1 bit-exact clean-up, 2 rewrites exact in real arithmetic, "
    "3 fusions for the target and relaxed arithmetic within the derived tolerance. [default: 2]",
)
@click.option("--passes", metavar="SPEC", help="Passes to run instead of the level's pipeline.")
@click.option("--quantize", metavar="RECIPE", help="Quantization, such as weights-int8.")
@click.option("--prune", metavar="SPEC", help="Pruning, such as magnitude{sparsity=0.5}.")
@judging_options
@click.option("--dry-run", is_flag=True, help="Check everything, build and write nothing.")
@click.option("--offline", is_flag=True, help="Forbid the network; irconv itself never uses it.")
@click.option("--strict", is_flag=True, help="Stop if a pass breaks its contract.")
@click.option(
    "--verify-each",
    is_flag=True,
    help="Compare the outputs and the tensors inside before and after every pass, the target's "
    "legalization included.",
)
@click.option(
    "--measure",
    is_flag=True,
    help="With -O 3: keep a pass of the target only if the artifact gets faster beyond noise.",
)
@click.option("--dump-ir", type=click.Path(), help="Folder for the IR text after each pass.")
@click.option("--allow-mismatch", is_flag=True, help="Publish even if outputs differ.")
@click.option(
    "--python",
    "interpreters",
    multiple=True,
    metavar="TARGET=PATH",
    help="Interpreter of another environment for a target's worker.",
)
@limit_options
@click.option("--config", type=click.Path(path_type=Path), help="Take options from a file.")
@click.option("--save-config", type=click.Path(path_type=Path), help="Write the options to a file.")
@json_option
def command(
    model: str,
    output: Path,
    dry_run: bool,
    offline: bool,
    interpreters: tuple[str, ...],
    config: Path | None,
    save_config: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Compile MODEL for one or more targets, and prove each artifact.

    MODEL is a path (.onnx, .pt2, .pt, .keras, .h5, .pb, .tflite, a SavedModel folder, ...) or, with
    --trust, package.module:factory.
    """
    options = CompileOptions.load(config) if config else CompileOptions()
    python = dict(_interpreter(text) for text in interpreters)
    options = dataclasses.replace(options, **changed_options(**given, python=python or None))
    if save_config:
        options.save(save_config)
    if offline:
        _forbid_network()
    from irconv.compiler import compile_model

    with progress(quiet=as_json) as show:
        result = compile_model(model, None if dry_run else output, options, progress=show)
    if as_json:
        emit_json(result.to_json())
    else:
        _print(result, dry_run=dry_run, options=options)
    return int(result.exit_code)


def _interpreter(text: str) -> tuple[str, str]:
    target, separator, path = text.partition("=")
    if not separator or not target or not path:
        raise click.UsageError(f"--python {text!r} is not of the form TARGET=PATH")
    return target, path


def _forbid_network() -> None:
    import os

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ[name] = "1"


def _print(result: CompileResult, *, dry_run: bool, options: CompileOptions) -> None:
    shared = dict.fromkeys(_rolled_back([record.to_json() for record in result.passes]))
    for line in shared:
        click.echo(f"warning: {line}", err=True)
    for name, reason in result.skipped.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    if dry_run:
        rows = [[target.target, _verdict(target, "can be built")] for target in result.targets]
        print_table(["target", "verdict"], rows)
    else:
        print_table(
            ["target", "artifact", "size", "verdict", "level", "max abs error", "tolerance"],
            [_row(target) for target in result.targets],
        )
    for target in result.targets:
        records = [] if target.manifest is None else target.manifest["passes"]
        for line in _rolled_back(records):
            if line not in shared:
                click.echo(f"warning: {target.target}: {line}", err=True)
        for kind, line in _compared(records) if options.verify_each else ():
            click.echo(f"{kind}: {target.target}: {line}", err=True)
        for line in _measured(target) if options.measure else ():
            click.echo(f"measured: {target.target}: {line}", err=True)
        for note in _notes(target):
            click.echo(f"note: {target.target}: {note}", err=True)
        if target.error is not None:
            print_error(target.error)


def _rolled_back(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each pass that was rolled back."""
    return [
        f"pass {record['spec']} was rolled back: {record['error']}"
        for record in records
        if record.get("error")
    ]


def _compared(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return what was compared, and each pass that stands though that failed or was not done."""
    from irconv.verify.change import in_words

    changes = [record for record in records if record["modified"]]
    entries = [record.get("details", {}).get("verified") for record in changes]
    held = sum(entry is not None and entry["verdict"] == "pass" for entry in entries)
    lines = [
        (
            "verified",
            f"{held} of {len(changes)} changes by passes moved nothing further than they declare",
        )
    ]
    for entry in entries:
        if entry is not None and (text := in_words(entry)):
            lines.append(("warning" if entry["verdict"] == "fail" else "note", text))
    return lines


def _measured(target: TargetResult) -> list[str]:
    """Return one line for each pass that was measured, or should have been."""
    if target.manifest is None:
        return []
    lines = [
        f"{record['spec']} {'kept' if entry['kept'] else 'left out'}: {_times(entry)}"
        for record in target.manifest["passes"]
        if (entry := record.get("details", {}).get("measured"))
    ]
    return lines or ["no pass that the target adds to -O 3 changed a node"]


def _times(entry: dict[str, Any]) -> str:
    if entry["before_ms"] is None:
        return str(entry["reason"])
    return f"{entry['before_ms']:.3g} -> {entry['after_ms']:.3g} ms, {entry['reason']}"


def _notes(target: TargetResult) -> list[str]:
    """Return what a user should know about a target that was built."""
    if target.manifest is None:
        return []
    ran = target.manifest["verification"]["ran"]
    notes = [*target.manifest["artifact"]["notes"], ran.get("note", "")]
    return [note for note in notes if note]


def _verdict(target: TargetResult, otherwise: str) -> str:
    return otherwise if target.error is None else target.error.kind


def _row(target: TargetResult) -> list[str]:
    if target.manifest is None:
        return [target.target, "-", "-", _verdict(target, "-"), "-", "-", "-"]
    verification = target.manifest["verification"]
    artifact = target.manifest["artifact"]
    outputs = [entry for entry in verification["outputs"] if entry["max_abs"] is not None]
    worst = max(outputs, key=lambda entry: float(entry["max_abs"]), default=None)
    size = sum(entry["bytes"] for entry in artifact["files"])
    place = str(target.directory / artifact["main"]) if target.directory else "not published"
    return [
        target.target,
        place,
        human_bytes(size),
        verification["verdict"],
        verification["level"],
        f"{float(worst['max_abs']):.2g}" if worst else "-",
        f"{float(worst['tolerance']):.2g}" if worst else "-",
    ]
