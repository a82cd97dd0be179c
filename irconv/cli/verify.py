"""``irconv verify``."""

from __future__ import annotations

import click

from irconv.cli.options import json_option, limit_options, python_option
from irconv.cli.output import emit_json, print_table, progress
from irconv.worker import WorkerLimits


@click.command("verify")
@click.argument("bundle")
@limit_options
@python_option
@json_option
def command(
    bundle: str, max_ram: int | None, timeout: float | None, python: str | None, as_json: bool
) -> None:
    """Check BUNDLE's digests and run its artifact again against its goldens."""
    from irconv.bundle import open_bundle
    from irconv.deploy import verify_bundle

    limits = WorkerLimits(timeout or WorkerLimits().seconds, max_ram, python)
    with progress(quiet=as_json) as show:
        show(f"verifying {bundle}")
        check = verify_bundle(open_bundle(bundle), limits=limits)
    document = check.to_json()
    if as_json:
        emit_json(document)
    else:
        verification = document["verification"]
        click.echo(
            f"{document['target']}: digests hold; verdict {verification['verdict']} "
            f"at level {verification['level']}"
        )
        print_table(
            ["output", "max abs error", "tolerance", "ok"],
            [
                [entry["name"], str(entry["max_abs"]), str(entry["tolerance"]), str(entry["ok"])]
                for entry in verification["outputs"]
            ],
        )
    check.raise_for_verdict()
