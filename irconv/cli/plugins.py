"""``irconv plugins``."""

from __future__ import annotations

from dataclasses import asdict

import click

from irconv.cli.options import json_option
from irconv.cli.output import emit_json, print_table


@click.command("plugins")
@json_option
def command(as_json: bool) -> None:
    """List the installed plugins, the broken ones with the reason."""
    from irconv.plugins import load_registry

    records = load_registry().records()
    if as_json:
        emit_json([asdict(record) for record in records])
        return
    print_table(
        ["distribution", "entry point", "state", "provides"],
        [
            [
                record.distribution,
                record.entry_point,
                f"broken: {record.error}" if record.error else "ok",
                ", ".join(record.provides),
            ]
            for record in records
        ],
    )
