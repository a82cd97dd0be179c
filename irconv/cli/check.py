"""``irconv check``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from irconv.cli.options import changed_options, json_option, source_options, target_option
from irconv.cli.output import emit_json, progress
from irconv.config import CompileOptions
from irconv.errors import ExitCode


@click.command("check")
@click.argument("model")
@target_option
@source_options
@click.option("-O", "level", type=click.IntRange(0, 3), help="Optimization level. [default: 2]")
@json_option
def command(model: str, targets: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """List what each target cannot express in MODEL, every node with the reason.

    Exit code 4 if any target lacks anything. Needs no target's SDK.
    """
    if not targets:
        raise click.UsageError("no target is given; add --target T, or --target all")
    from irconv.checking import check_model

    options = dataclasses.replace(CompileOptions(), **changed_options(**given))
    with progress(quiet=as_json) as show:
        show(f"checking {model}")
        checks = check_model(model, targets, options)
    if as_json:
        emit_json([check.to_json() for check in checks])
    else:
        for check in checks:
            _print(check.to_json())
    failed = any(check.diagnostics for check in checks)
    return int(ExitCode.UNSUPPORTED if failed else ExitCode.OK)


def _print(check: dict[str, Any]) -> None:
    total = sum(check["supported"].values())
    count = len(check["diagnostics"])
    state = "can be built" if check["ok"] else f"{count} obstacle{'s' if count > 1 else ''}"
    click.echo(f"{check['target']}: {state}; {total} nodes supported")
    for name, (before, after) in check["legalized"].items():
        click.echo(f"  legalized by {name}: {before} -> {after} nodes")
    for entry in check["diagnostics"]:
        place = " ".join(filter(None, (entry["op"], repr(entry["node"]) if entry["node"] else "")))
        label = " ".join(filter(None, (entry["code"], place)))
        click.echo(f"  {label}: {entry['reason']}")
        if entry["way_out"]:
            click.echo(f"    way out: {entry['way_out']}")
