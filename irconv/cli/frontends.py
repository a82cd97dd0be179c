"""``irconv frontends``."""

from __future__ import annotations

import click

from irconv.cli.options import json_option
from irconv.cli.output import emit_json, print_table


@click.command("frontends")
@json_option
def command(as_json: bool) -> None:
    """List the source formats and whether each can be read here."""
    from irconv.plugins import load_registry

    rows = []
    for name, cls in load_registry().frontends().items():
        availability = cls().available()
        rows.append(
            {
                "frontend": name,
                "summary": cls.summary,
                "suffixes": list(cls.suffixes),
                "available": availability.ok,
                "detail": availability.detail,
                "way_out": availability.way_out,
            }
        )
    if as_json:
        emit_json(rows)
        return
    print_table(
        ["frontend", "here", "reads", "detail"],
        [
            [
                str(row["frontend"]),
                "yes" if row["available"] else "no",
                str(row["summary"]),
                str(row["detail"] if row["available"] else f"{row['detail']}; {row['way_out']}"),
            ]
            for row in rows
        ],
    )
