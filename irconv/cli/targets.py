"""``irconv targets``."""

from __future__ import annotations

import click

from irconv.cli.options import json_option
from irconv.cli.output import emit_json, print_table


@click.command("targets")
@json_option
def command(as_json: bool) -> None:
    """List the targets and whether each can be built here."""
    from irconv.plugins import load_registry

    rows = []
    for name, cls in load_registry().backends().items():
        availability = cls().available()
        rows.append(
            {
                "target": name,
                "summary": cls.summary,
                "available": availability.ok,
                "detail": availability.detail,
                "way_out": availability.way_out,
            }
        )
    if as_json:
        emit_json(rows)
        return
    print_table(
        ["target", "here", "what it is", "detail"],
        [
            [
                str(row["target"]),
                "yes" if row["available"] else "no",
                str(row["summary"]),
                str(row["detail"] if row["available"] else f"{row['detail']}; {row['way_out']}"),
            ]
            for row in rows
        ],
    )
