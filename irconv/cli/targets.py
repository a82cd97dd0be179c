"""``irconv targets``."""

from __future__ import annotations

import click

from irconv.cli.availability import list_available
from irconv.cli.options import json_option


@click.command("targets")
@json_option
def command(as_json: bool) -> None:
    """List the targets and whether each can be built here."""
    from irconv.plugins import load_registry

    list_available("target", load_registry().backends(), as_json=as_json)
