"""``irconv passes``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

import click

from irconv.cli.options import json_option
from irconv.cli.output import emit_json, print_table

if TYPE_CHECKING:
    from irconv.passes.base import Pass


@click.command("passes")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the passes; with NAME, show one pass's documentation and options."""
    from irconv.errors import UsageError
    from irconv.plugins import load_registry

    passes = load_registry().passes()
    if name is not None and name not in passes:
        raise UsageError(f"there is no pass {name!r}", hint="`irconv passes` lists them")
    rows = [_facts(cls) for cls in passes.values() if name in (None, cls.name)]
    if as_json:
        emit_json(rows)
    elif name is not None:
        click.echo(f"{name}\n\n{inspect.getdoc(passes[name])}")
    else:
        print_table(
            ["pass", "effect", "what it does", "options"],
            [
                [row["name"], row["effect"], row["summary"], " ".join(row["options"])]
                for row in rows
            ],
        )


def _facts(cls: type[Pass]) -> dict[str, Any]:
    from irconv.spec import field_types

    documentation = inspect.getdoc(cls) or ""
    options = [f"{field.name}={field.default}" for field in dataclasses.fields(cls) if field.init]
    return {
        "name": cls.name,
        "effect": cls.effect,
        "after": list(cls.after),
        "summary": documentation.partition("\n")[0],
        "options": options,
        "types": {name: str(kind) for name, kind in field_types(cls).items()},
        "documentation": documentation,
    }
