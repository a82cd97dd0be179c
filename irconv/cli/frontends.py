"""``irconv frontends``."""

from __future__ import annotations

import click

from irconv.cli.availability import list_available
from irconv.cli.options import json_option


@click.command("frontends")
@json_option
def command(as_json: bool) -> None:
    """List the source formats and whether each can be read here."""
    from irconv.plugins import load_registry

    list_available("frontend", load_registry().frontends(), as_json=as_json)
