"""``irconv inspect``."""

from __future__ import annotations

from typing import Any

import click

from irconv.cli.options import json_option
from irconv.cli.output import emit_json


@click.command("inspect")
@click.argument("path")
@click.option("--frontend", metavar="SPEC", help="Frontend to look at a model with.")
@json_option
def command(path: str, frontend: str | None, as_json: bool) -> None:
    """Say what the model or bundle at PATH is, executing nothing in it."""
    from irconv.inspection import inspect_path

    facts = inspect_path(path, frontend)
    if as_json:
        emit_json(facts)
    elif facts["kind"] == "bundle":
        _print_bundle(facts)
    else:
        _print_facts(facts)


def _print_bundle(facts: dict[str, Any]) -> None:
    manifest = facts["manifest"]
    verification = manifest["verification"]
    here = facts["loads_here"]
    _print_facts(
        {
            "bundle": facts["path"],
            "target": manifest["target"],
            "created": manifest["created"],
            "source": manifest["source"],
            "inputs": manifest["inputs"],
            "outputs": manifest["outputs"],
            "pipeline": manifest["pipeline"],
            "requires": manifest["artifact"]["requires"],
            "digests": facts["digests"],
            "verdict": f"{verification['verdict']} at level {verification['level']}",
            "loads here": f"{'yes' if here['ok'] else 'no'}: {here['detail']}",
        }
    )


def _print_facts(facts: dict[str, Any], indent: str = "") -> None:
    for key, value in facts.items():
        label = f"{indent}{key.replace('_', ' ') or 'default domain'}:"
        if isinstance(value, dict):
            click.echo(label)
            _print_facts(value, indent + "  ")
        elif isinstance(value, list) and value:
            click.echo(label)
            for item in value:
                click.echo(f"{indent}  - {_line(item)}")
        else:
            click.echo(f"{label} {_line(value)}")


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(_line(item) for item in value) + "]"
    return "-" if value in (None, "") else str(value)
