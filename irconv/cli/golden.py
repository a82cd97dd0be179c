"""``irconv golden``: record, check, diff."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from irconv.cli.options import changed_options, json_option, limit_options, source_options
from irconv.cli.output import emit_json, print_table, progress
from irconv.config import CompileOptions
from irconv.errors import ExitCode


@click.group("golden")
def command() -> None:
    """Record, check and compare golden files for your own CI."""


@command.command("record")
@click.argument("model")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The golden folder."
)
@source_options
@click.option("--data", type=click.Path(), help="Real inputs: an .npz file, or a folder of them.")
@click.option("--samples", type=click.IntRange(1, 100), help="Generated samples. [default: 3]")
@click.option("--seed", type=int, help="Seed of generated inputs. [default: 0]")
@limit_options
@json_option
def record_command(model: str, output: Path, as_json: bool, **given: Any) -> None:
    """Record MODEL's inputs and its source framework's outputs."""
    from irconv.goldens import record

    options = dataclasses.replace(CompileOptions(), **changed_options(**given))
    with progress(quiet=as_json) as show:
        show(f"running {model}")
        golden = record(model, output, options)
    if as_json:
        emit_json({"golden": str(output), "samples": len(golden.inputs), "sha256": golden.digest()})
    else:
        click.echo(f"{output}: {len(golden.inputs)} samples, sha256 {golden.digest()[:12]}")


@command.command("check")
@click.argument("golden", type=click.Path(path_type=Path))
@click.argument("subject")
@source_options
@limit_options
@json_option
def check_command(golden: Path, subject: str, as_json: bool, **given: Any) -> int:
    """Run SUBJECT, a model or a bundle, on GOLDEN's inputs and compare.

    Exit code 1 if it differs.
    """
    from irconv.goldens import check_golden

    options = dataclasses.replace(CompileOptions(), **changed_options(**given))
    with progress(quiet=as_json) as show:
        show(f"checking {subject}")
        verification = check_golden(golden, subject, options)
    document = verification.to_json()
    if as_json:
        emit_json(document)
    else:
        click.echo(f"{document['verdict']}{': ' if document['reason'] else ''}{document['reason']}")
        print_table(
            ["output", "max abs error", "tolerance", "ok"],
            [
                [entry["name"], str(entry["max_abs"]), str(entry["tolerance"]), str(entry["ok"])]
                for entry in document["outputs"]
            ],
        )
    return int(ExitCode.OK if verification.verdict == "pass" else ExitCode.MISMATCH)


@command.command("diff")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@json_option
def diff_command(first: Path, second: Path, as_json: bool) -> int:
    """Compare two golden folders. Exit code 1 if inputs or outputs differ at all."""
    from irconv.goldens import diff_goldens

    difference = diff_goldens(first, second)
    if as_json:
        emit_json(difference)
    elif not difference["inputs_equal"]:
        click.echo("the inputs differ, so the outputs cannot be compared")
    else:
        print_table(
            ["output", "equal", "max abs", "cosine", "SNR dB"],
            [
                [
                    name,
                    str(row["equal"]),
                    str(row["max_abs"]),
                    str(row["cosine"]),
                    str(row["snr_db"]),
                ]
                for name, row in difference["outputs"].items()
            ],
        )
    same = difference["inputs_equal"] and all(
        row["equal"] for row in difference["outputs"].values()
    )
    return int(ExitCode.OK if same else ExitCode.MISMATCH)
